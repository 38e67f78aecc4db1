"""The CSV that Amazon Personalize reads."""

from __future__ import annotations

import csv
import io

import pytest
from csv_samples import TABLES, rfc4180
from hypothesis import given
from hypothesis import strategies as st

from recsync.storage.csv_dialect import cells_of, to_personalize, without_empty_strings
from recsync.storage.csv_text import split_records


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
