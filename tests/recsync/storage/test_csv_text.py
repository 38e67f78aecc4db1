"""Blocks of whole records, and the CSV that Amazon Personalize reads."""

from __future__ import annotations

import csv
import io

import pytest
from csv_samples import TABLES, rfc4180
from hypothesis import given
from hypothesis import strategies as st

from recsync.errors import FatalError, RetriableError
from recsync.storage import csv_text
from recsync.storage.csv_text import MAX_VALUE_BYTES, cut_records, split_records, unix_line_ends


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
        csv_text = list(cut_records(stream, size))
        assert b"".join(csv_text) == text
        records = [record for block in csv_text for record in split_records(block)]
        assert records == [rfc4180([row], everywhere=everywhere) for row in rows]


@pytest.mark.parametrize("text", [b"a,1\nb,2", b'a,1\n"b', b'a,1\n"b\n'])
def test_a_stream_that_ends_inside_a_record_is_not_the_whole_result(text: bytes) -> None:
    csv_text = cut_records(io.BytesIO(text))
    assert next(csv_text) == b"a,1\n"
    with pytest.raises(RetriableError, match="ended in the middle of a record"):
        next(csv_text)


def test_a_record_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_text, "MAX_RECORD_BYTES", 3_000_000)

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
        patch.setattr(csv_text, "MAX_VALUE_BYTES", longest)
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
