"""Shares of a batch output: every line of every object is in exactly one, and in order."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from recsync.recommend.lists.output_shares import LineStream, share_of

TEXTS = st.lists(
    st.lists(st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"-")), max_size=6), max_size=4
)


def read(body: bytes, stream: LineStream, size: int) -> bytes:
    found = []
    while data := stream.read(size):
        found.append(data)
    assert b"".join(found) in body
    return b"".join(found)


@given(TEXTS, st.integers(1, 9), st.integers(1, 40), st.booleans())
def test_every_line_is_read_once_and_in_order(
    objects: list[list[bytes]], tasks: int, size: int, ends_with_newline: bool
) -> None:
    bodies = {
        f"{number}.out": b"".join(line + b"\n" for line in lines) for number, lines in enumerate(objects)
    }
    if not ends_with_newline:
        bodies = {key: body.removesuffix(b"\n") for key, body in bodies.items()}
    sizes = [(key, len(body)) for key, body in bodies.items()]
    found = dict.fromkeys(bodies, b"")
    order = []
    for task in range(tasks):
        for inside in share_of(sizes, task, tasks):
            body = bodies[inside.key]
            stream = LineStream(io.BytesIO(body[max(0, inside.start - 1) :]), inside)
            lines = read(body, stream, size)
            # A line is never divided between tasks.
            assert not lines or lines.endswith(b"\n") or body.endswith(lines)
            found[inside.key] += lines
            order.append(inside.key)
    assert found == bodies
    assert order == sorted(order)


def test_a_compressed_object_goes_to_one_task_as_a_whole() -> None:
    objects = [("a.out.gz", 10), ("b.out", 10)]
    shares = [[(r.key, r.start, r.end) for r in share_of(objects, task, 4)] for task in range(4)]
    assert shares == [[("a.out.gz", 0, 10)], [], [("b.out", 0, 5)], [("b.out", 5, 10)]]
