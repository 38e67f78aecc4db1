"""Blocks of whole records, and the CSV that Amazon Personalize reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsync.errors import FatalError, RetriableError
from recsync.storage.csv_text import (
    MAX_VALUE_BYTES,
    blocks,
    cells_of,
    cut_records,
    split_records,
    to_personalize,
    unix_line_ends,
    without_empty_strings,
)

CELLS = st.one_of(st.none(), st.text(st.sampled_from('ab",\\\n\r é'), max_size=6))
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=12)


def rfc4180(rows: Sequence[Sequence[str | None]], *, everywhere: bool = False) -> bytes:
    def cell(value: str | None) -> str:
        if value is None:
            return ""
        if everywhere or not value or any(character in value for character in '",\r\n'):
            return '"' + value.replace('"', '""') + '"'
        return value

    return "".join(",".join(map(cell, row)) + "\n" for row in rows).encode()


class Trickle(io.BytesIO):
    """A stream that gives less than it is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 3))


@given(TABLES, st.integers(1, 60), st.booleans())
def test_blocks_end_where_records_end(
    rows: list[tuple[str | None, ...]], size: int, everywhere: bool
) -> None:
    text = rfc4180(rows, everywhere=everywhere)
    for stream in (io.BytesIO(text), Trickle(text)):
        blocks = list(cut_records(stream, size))
        assert b"".join(blocks) == text
        records = [record for block in blocks for record in split_records(block)]
        assert records == [rfc4180([row], everywhere=everywhere) for row in rows]


@given(TABLES, st.booleans())
def test_another_reader_reads_the_same_cells(rows: list[tuple[str | None, ...]], everywhere: bool) -> None:
    text = rfc4180(rows, everywhere=everywhere)
    assert [tuple(cells_of(record)) for record in split_records(text)] == [
        tuple(None if cell is None else cell.encode() for cell in row) for row in rows
    ]
    exported = io.StringIO(to_personalize(text).decode(), newline="")
    assert list(csv.reader(exported, escapechar="\\", doublequote=False, strict=True)) == [
        [cell or "" for cell in row] for row in rows
    ]


@given(TABLES, st.booleans())
def test_empty_strings_become_empty_cells_and_nothing_else_changes(
    rows: list[tuple[str | None, ...]], everywhere: bool
) -> None:
    wanted = rfc4180([[cell or None for cell in row] for row in rows], everywhere=everywhere)
    assert without_empty_strings(rfc4180(rows, everywhere=everywhere)) == wanted


@pytest.mark.parametrize(
    ("text", "exported"),
    [
        (b"a,1\n", None),
        (b'"a,b",1\n"two\nlines",\n', None),
        (b'"",1\n', b",1\n"),
        (b'a,""\n', b"a,\n"),
        (b'"","""",""""""\n', b',"\\"","\\"\\""\n'),
        (b'"a,"",b",1\n', b'"a,\\",b",1\n'),
        (b"a\\b,1\nc,2\n", b'"a\\\\b",1\nc,2\n'),
        (b'"a\\""b",1\n', b'"a\\\\\\"b",1\n'),
        (b'"5"" wide",x\n', b'"5\\" wide",x\n'),
        (b'"two\n""lines""",x\n', b'"two\n\\"lines\\"",x\n'),
        (b"", None),
    ],
)
def test_dialect(text: bytes, exported: bytes | None) -> None:
    if exported is None:
        assert to_personalize(text) is text
    else:
        assert to_personalize(text) == exported


@pytest.mark.parametrize("text", [b"a,1\nb,2", b'a,1\n"b', b'a,1\n"b\n'])
def test_a_stream_that_ends_inside_a_record_is_not_the_whole_result(text: bytes) -> None:
    blocks = cut_records(io.BytesIO(text))
    assert next(blocks) == b"a,1\n"
    with pytest.raises(RetriableError, match="ended in the middle of a record"):
        next(blocks)


def test_a_record_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_RECORD_BYTES", 3_000_000)

    class Endless:
        given_bytes = 0

        def read(self, size: int, /) -> bytes:
            self.given_bytes += size
            return (b'"' if self.given_bytes == size else b"x") + b"\n" * (size - 1)

    stream = Endless()
    with pytest.raises(FatalError, match="a quote is not closed"):
        list(cut_records(stream, 100_000))
    assert stream.given_bytes < 4_000_000


def test_a_quote_that_is_never_closed_is_named() -> None:
    with pytest.raises(
        FatalError, match=r"ended in a record of over 1048576 bytes\. Either a quote is not closed"
    ):
        list(cut_records(io.BytesIO(b'a,"b' + b"\nc,1" * MAX_VALUE_BYTES)))


@given(
    st.lists(st.tuples(st.text('ab",\n', max_size=40), st.text('x"', max_size=40)), min_size=1, max_size=6),
    st.integers(1, 60),
    st.integers(1, 30),
)
def test_only_values_that_are_too_long_are_cut(
    rows: list[tuple[str, str]], read_bytes: int, longest: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "MAX_VALUE_BYTES", longest)
        cut = b"".join(cut_records(Trickle(rfc4180(rows)), read_bytes))
    short = [tuple(value[: longest + 1] for value in row) for row in rows]
    assert list(csv.reader(io.StringIO(cut.decode(), newline=""))) == list(
        csv.reader(io.StringIO(rfc4180(short).decode(), newline=""))
    )


@pytest.mark.parametrize("value", ["x", '"', '{"a": 1},\n'])
def test_a_long_value_leaves_its_neighbours_whole(value: str) -> None:
    long = value * (3 * MAX_VALUE_BYTES // len(value))
    rows = [("a", "1"), (long, "2"), ("b", "3")]
    cut = b"".join(cut_records(io.BytesIO(rfc4180(rows)), 4096))
    assert cut == rfc4180([("a", "1"), (long[: MAX_VALUE_BYTES + 1], "2"), ("b", "3")])


def test_the_mark_of_byte_order_is_no_part_of_the_first_value() -> None:
    assert list(cut_records(Trickle(b"\xef\xbb\xbfa,1\n"), 2)) == [b"a,1\n"]
    assert list(cut_records(io.BytesIO(b"a\n\xef\xbb\xbfb\n"))) == [b"a\n\xef\xbb\xbfb\n"]


def test_line_ends_of_other_systems_become_line_feeds_outside_quotes() -> None:
    assert unix_line_ends(b"a,1\r\nb,2\r\n") == b"a,1\nb,2\n"
    assert unix_line_ends(b'"a\r\nb",1\r\n"c",2\n') == b'"a\r\nb",1\n"c",2\n'
