from __future__ import annotations

import io

import pytest

from recsync.storage import batch_lines
from recsync.storage.batch_lines import parse_answer, read_lines


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_lines_are_whole_however_the_bytes_are_cut(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_lines, "_READ_BYTES", size)
    assert list(read_lines(io.BytesIO(b"one\n\ntwo\n3"))) == [b"one", b"two", b"3"]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b'{"input": {"itemId": "i"}, "output": {"recommendedUsers": ["u", 7]}}', ("i", ["u", "7"], "")),
        (b'{"itemAttributes": "q", "output": {"usersList": ["u"]}, "error": null}', ("q", ["u"], "")),
        (b'{"input": {"itemId": "i"}, "output": null, "error": "no such item"}', ("i", [], "no such item")),
        (b'{"input": {"userId": "u"}, "output": {}}', None),
        (b"[1]", None),
        (b"{", None),
    ],
)
def test_only_lines_of_segment_jobs_are_answers(
    line: bytes, answer: tuple[str, list[str], str] | None
) -> None:
    assert parse_answer(line) == answer
