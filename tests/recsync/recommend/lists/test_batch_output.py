"""The lines of a batch output, in blocks and one by one."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsync.recommend.lists import batch_output
from recsync.recommend.lists.batch_output import (
    UnreadableLine,
    UserList,
    cut_blocks,
    output_names,
    parse_fast,
    read_block,
    read_lines,
)
from recsync.storage.hashes import string_hashes

GOOD = b'{"input":{"userId":"2"},"output":{"recommendedItems":["a","b"],"scores":[0.1,0.2]},"error":null}'
NO_SCORES = b'{"input":{"userId":"1"},"output":{"recommendedItems":["c"]}}'
FAILED = b'{"input":{"userId":"3"},"output":{"recommendedItems":[]},"error":"User error: nobody"}'


def hashes(items: Sequence[str]) -> tuple[Any, ...]:
    return tuple(string_hashes(pa.array(items, pa.string())).tolist())


def hashed(lines: Iterable[UserList | UnreadableLine]) -> list[UserList | UnreadableLine]:
    """Write lines of ids as a block holds them."""
    return [
        replace(line, item_ids=hashes(line.item_ids)) if isinstance(line, UserList) else line
        for line in lines
    ]


TWO = UserList("2", hashes(["a", "b"]))
ONE = UserList("1", hashes(["c"]))


def by_block(data: bytes, block_bytes: int, *, with_scores: bool = False) -> list[UserList | UnreadableLine]:
    """Read bytes block by block, and write what is found as the line reader does."""
    found: list[UserList | UnreadableLine] = []
    before = 0
    for data_block in cut_blocks(io.BytesIO(data), block_bytes):
        block = read_block(data_block, with_scores=with_scores)
        found += [UnreadableLine(before + line.line, line.reason) for line in block.unreadable]
        before += block.line_ends
        values = (block.columns[name].to_pylist() for name in ("user_id", "items", "error", "scores"))
        for user_id, items, error, scores in zip(*values, strict=True):
            known = None if scores is None else tuple(scores)
            found.append(
                UserList(user_id, error=error) if error else UserList(user_id, tuple(items), None, known)
            )
    return found


def by_line(data: bytes, *, with_scores: bool = False) -> list[UserList | UnreadableLine]:
    return hashed(read_lines(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), with_scores=with_scores))


def test_lines_of_every_documented_form_are_read() -> None:
    expected = [UserList("2", ("a", "b")), UserList("1", ("c",)), UserList("3", error="User error: nobody")]
    assert list(read_lines([GOOD, NO_SCORES, b"", FAILED])) == expected
    assert by_block(b"\n".join([GOOD, NO_SCORES, b"", FAILED]), 1_000_000) == hashed(expected)


def test_a_line_that_holds_nobody_is_named_not_raised() -> None:
    assert list(read_lines([b"<html>", b'{"input":{}}', b"[]", b'{"input":{"userId":4}}'])) == [
        UnreadableLine(1, "not a JSON object with input.userId"),
        UnreadableLine(2, "not a JSON object with input.userId"),
        UnreadableLine(3, "not a JSON object with input.userId"),
        UnreadableLine(4, 'input.userId is not a text; write it in quotes, e.g. "17" and not 17'),
    ]


def test_a_line_without_a_list_is_an_error_of_its_user() -> None:
    (line,) = read_lines([b'{"input":{"userId":"4"},"output":{"recommendedItems":[1]}}'])
    assert isinstance(line, UserList)
    assert line.error


@pytest.mark.parametrize(
    "odd",
    [
        GOOD[:40],
        b'{"input":{"userId":7},"output":{"recommendedItems":["a"]}}',
        b'{"input":{"userId":""},"output":{"recommendedItems":["a"]}}',
        b'{"input":{"userId":"x"},"output":{"recommendedItems":["a",null]}}',
        b'{"input":{"userId":"x"},"output":{"recommendedItems":["a",5]}}',
        b'{"input":{"userId":"x"},"output":null}',
        b'{"input":{"userId":"x"},"output":{"recommendedItems":"a"}}',
        b'{"input":{"userId":"x\xff"},"output":{"recommendedItems":["a"]}}',
        b'{"input":{"userId":"x"},"output":{"recommendedItems":["\xff"]}}',
        b'{"input":{"userId":"\\ud800"},"output":{"recommendedItems":["a"]}}',
        b'{"input":{"userId":"x"},"output":{"recommendedItems":["a"]},"error":{"code":4}}',
        b"<html>",
    ],
)
def test_an_odd_line_costs_nobody_else_a_list(odd: bytes) -> None:
    data = b"\n".join([GOOD, odd, NO_SCORES])
    found = by_block(data, 1_000_000)
    assert sorted(map(repr, found)) == sorted(map(repr, by_line(data)))
    assert TWO in found
    assert ONE in found


def test_what_editors_and_systems_do_to_files_changes_nothing() -> None:
    plain = by_line(b"\n".join([GOOD, NO_SCORES, FAILED]))
    assert (
        by_block(b"\xef\xbb\xbf" + b"\r\n".join([GOOD, NO_SCORES, FAILED]) + b"\r\n\r\n", 1_000_000) == plain
    )
    assert by_block(b"\n".join([GOOD, NO_SCORES, FAILED, GOOD[:50]]), 1_000_000)[:-1] == plain


def test_a_line_without_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_output, "MAX_LINE_BYTES", 1_000)
    data = b"\n".join([GOOD, b'{"input":{"userId":"' + b"x" * 10_000, NO_SCORES])
    blocks = list(cut_blocks(io.BytesIO(data), 200))
    assert max(map(len, blocks)) <= 1_200
    unreadable = UnreadableLine(2, "not a JSON object with input.userId")
    assert by_block(data, 200) == [TWO, unreadable, ONE]


SCORES = [
    b"[0.5,0.25]",
    b"[0.5]",
    b"[1,2e-3]",
    b"[]",
    b"[null,0.5]",
    b'["a","b"]',
    b"[true,1]",
    b"null",
    b"7",
    b"[1e300,0.5]",
    b"[[1],2]",
    b"[NaN,1]",
]


@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize("other", [GOOD, NO_SCORES, FAILED])
def test_odd_scores_cost_nobody_a_list(scores: bytes, other: bytes) -> None:
    line = (
        b'{"input":{"userId":"2"},"output":{"recommendedItems":["a","b"],"scores":%b},"error":null}' % scores
    )
    data = line + b"\n" + other + b"\n"
    plain = by_block(data, 1_000_000)
    assert plain[0] == TWO
    found = by_block(data, 1_000_000, with_scores=True)
    assert [(one.user_id, one.item_ids, one.error) for one in found if isinstance(one, UserList)] == [
        (one.user_id, one.item_ids, one.error) for one in plain if isinstance(one, UserList)
    ]


def test_scores_are_read_with_their_items() -> None:
    lines = b"\n".join([GOOD.replace(b"0.1,0.2", b"0.5,2.5e-1"), NO_SCORES, FAILED]) + b"\n"
    wanted: list[UserList | UnreadableLine] = [replace(TWO, scores=(0.5, 0.25)), ONE]
    assert by_block(lines, 1_000_000, with_scores=True)[:2] == wanted
    assert by_line(lines, with_scores=True)[:2] == wanted
    usual = parse_fast(GOOD.replace(b"0.1,0.2", b"0.5,2.5e-1") + b"\n", with_scores=True)
    assert usual is not None
    assert usual[2] is not None
    assert usual[2].to_pylist() == [[0.5, 0.25]]
    for odd in (b"0.5", b"0.5,0.25,1", b"0.5,", b"0.5,inf", b"0.5,x"):
        assert parse_fast(GOOD.replace(b"0.1,0.2", odd) + b"\n", with_scores=True) is None


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
USUAL = st.builds(
    lambda user, items: json.dumps(
        {
            "input": {"userId": user},
            "output": {"recommendedItems": items, "scores": [0.5 for _ in items]},
            "error": None,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode(),
    TEXTS,
    st.lists(TEXTS, max_size=4),
)
LINES = st.one_of(
    USUAL,
    USUAL,
    st.builds(
        lambda user, items, error: json.dumps(
            {"input": {"userId": user}, "output": {"recommendedItems": items}, "error": error},
            ensure_ascii=len(items) % 2 == 0,
        ).encode(),
        st.one_of(TEXTS, st.none(), st.integers()),
        st.one_of(st.lists(st.one_of(TEXTS, TEXTS, st.none())), st.lists(TEXTS)),
        st.sampled_from([None, None, "", "User error"]),
    ),
    st.sampled_from(
        [GOOD, NO_SCORES, FAILED, GOOD[:30], b"", b"  ", b"[]", b'{"input":{"userId":"q"},"error":"e"}']
    ),
)


@given(st.lists(LINES, max_size=12), st.sampled_from([1, 7, 64, 300, 100_000]), st.booleans(), st.booleans())
def test_blocks_of_any_size_hold_the_same_lines(
    lines: list[bytes], block_bytes: int, ended: bool, with_scores: bool
) -> None:
    data = b"\n".join(lines).replace(b"0.1,0.2", b"0.5,0.25") + (b"\n" if ended else b"")
    found = by_block(data, block_bytes, with_scores=with_scores)
    assert sorted(map(repr, found)) == sorted(map(repr, by_line(data, with_scores=with_scores)))


@given(st.lists(st.text(st.sampled_from("ab1 !-é"), min_size=1), min_size=1), st.integers(1, 3))
def test_usual_lines_are_read_by_their_places(items: list[str], users: int) -> None:
    lines = [
        json.dumps(
            {
                "input": {"userId": f"u{n}"},
                "output": {"recommendedItems": items[: n + 1], "scores": [0.5]},
                "error": None,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()
        for n in range(users)
    ]
    usual = parse_fast(b"\n".join(lines) + b"\n")
    assert usual is not None
    assert usual[0].to_pylist() == [f"u{n}" for n in range(users)]
    assert usual[1].to_pylist() == [list(hashes(items[: n + 1])) for n in range(users)]


# What JSON is made of: damage by anything else inside a text is a text all the same.
PIECES = st.text(st.sampled_from('{}[]",:\\ a1'), max_size=2).map(str.encode)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD)), PIECES, st.integers(0, 3))
@example(71, b":[", 0)
def test_a_damaged_line_is_never_taken_for_another(place: int, inserted: bytes, removed: int) -> None:
    """Damage outside the scores, which are not looked at, gives what the line reader gives."""
    if GOOD.index(b"[0.1") < place + removed and place <= GOOD.index(b"]},") + 1:
        return
    damaged = GOOD[:place] + inserted + GOOD[place + removed :]
    # ``:[`` before ``:[0.1`` is damage of the scores, too.
    if damaged.startswith(GOOD[: GOOD.index(b"[0.1") + 1]) and damaged.endswith(GOOD[GOOD.index(b"]},") :]):
        return
    data = NO_SCORES + b"\n" + damaged + b"\n"
    assert sorted(map(repr, by_block(data, 1_000_000))) == sorted(map(repr, by_line(data)))
    alone = damaged + b"\n"
    assert by_block(alone, 1_000_000) == by_line(alone)


def test_the_files_of_a_batch_output_are_known_by_their_names() -> None:
    assert output_names(["_CHECK", "b.json.out", "a.out.gz", "b.json"]) == ["a.out.gz", "b.json.out"]
    assert output_names(["b.json", "a.jsonl.gz", "readme.txt"]) == ["a.jsonl.gz", "b.json"]
    assert output_names(["_CHECK"]) == []
