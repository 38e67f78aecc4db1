from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from recsync.errors import FatalError
from recsync.warehouse.arrow_text import CsvBlocks, as_texts, csv_block, text_rows

COLUMNS = ["A", "B"]


def write(*row: Any) -> bytes:
    return b"".join(map(csv_block, text_rows([[row]], COLUMNS, name="shop/users.sql")))


def test_values_are_written_as_people_write_them() -> None:
    assert write(1, 2.5) == b"1,2.5\n"
    assert write(Decimal("1E+3"), Decimal("0.10")) == b"1000,0.10\n"
    assert write(True, None) == b"True,\n"
    assert write(1e22, uuid.UUID(int=1)) == b"1e+22,00000000-0000-0000-0000-000000000001\n"


@pytest.mark.parametrize("value", [dt.datetime(2026, 1, 1), dt.date(2026, 1, 1), dt.time(1), dt.timedelta(1)])
def test_times_are_not_guessed_at(value: Any) -> None:
    with pytest.raises(
        FatalError, match=r"shop/users.sql: column B holds times .*\{\{ epoch\('column'\) \}\}"
    ):
        write("u1", value)


def test_a_list_is_joined_as_several_categories_are() -> None:
    assert write(["Action", "Sci, Fi"], [1, 2]) == b'"Action|Sci, Fi",1|2\n'


@pytest.mark.parametrize("value", [b"bytes", [["a"]], {"a": 1}])
def test_what_is_no_text_and_no_number_is_named(value: Any) -> None:
    with pytest.raises(FatalError, match=r"column A holds values of type .*; cast it to text"):
        write(value, 1)


def test_a_text_that_is_no_unicode_is_fatal() -> None:
    with pytest.raises(FatalError, match="not valid Unicode"):
        write("\ud800", 1)


def test_times_are_written_where_they_are_not_exported() -> None:
    (batch,) = text_rows([[(dt.date(2026, 1, 2), None)]], COLUMNS, name="x", moments=True)
    assert batch.to_pylist() == [{"A": "2026-01-02", "B": None}]


def test_no_rows_are_a_batch_without_rows_and_no_bytes() -> None:
    (batch,) = text_rows([[]], COLUMNS, name="x")
    assert (batch.num_rows, batch.schema.names, csv_block(batch)) == (0, COLUMNS, b"")
    assert CsvBlocks([batch]).read(10) == b""


def test_quotes_stand_only_where_a_text_needs_them() -> None:
    texts = pa.array(["plain", "", None, 'a"b', "a,b", "line\nbreak", "\r", "back\\slash"])
    lines = csv_block(pa.RecordBatch.from_arrays([texts, pa.array(["x"] * 8)], COLUMNS))
    assert lines == b'plain,x\n"",x\n,x\n"a""b",x\n"a,b",x\n"line\nbreak",x\n"\r",x\nback\\slash,x\n'


def test_a_slice_of_a_batch_is_written_alone() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["a", "b", "c"]), pa.array(["1", None, "3"])], COLUMNS)
    assert csv_block(batch.slice(1, 1)) == b"b,\n"


def test_a_type_without_a_text_is_named() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([["a"]])], ["a", "b"])
    with pytest.raises(FatalError, match=r"x: column B holds values of type list<.*cast it to text"):
        as_texts(batch, COLUMNS, name="x")
    assert as_texts(batch.select(["a"]), ["A"], name="x").to_pylist() == [{"A": "1"}]
