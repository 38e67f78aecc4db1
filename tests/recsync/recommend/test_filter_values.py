"""What stands in an input line for each person."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from recsync.errors import FatalError
from recsync.recommend.filter_values import add_values, filter_values, keep_values
from recsync.warehouse.query_columns import Kind


@pytest.mark.parametrize(
    ("kind", "text", "written"),
    [
        (Kind.TEXT, "horror", '"horror"'),
        (Kind.TEXT, "a, b", '"a, b"'),
        (Kind.TEXT, "a|b", '"a|b"'),
        (Kind.TEXT, "7", '"7"'),
        (Kind.TEXT, "it's", '"it\'s"'),
        (Kind.UNKNOWN, "horror", '"horror"'),
        (Kind.ARRAY, '["horror","comedy"]', '"horror","comedy"'),
        (Kind.ARRAY, "horror|comedy", '"horror","comedy"'),
        (Kind.JSON, '["x", null, ""]', '"x"'),
        (Kind.JSON, '"x"', '"x"'),
        (Kind.INTEGER, "7", "7"),
        (Kind.DECIMAL, "-3.50", "-3.5"),
        (Kind.FLOAT, "1e+16", "10000000000000000"),
        (Kind.FLOAT, "0.1", "0.1"),
        (Kind.DECIMAL, "1200", "1200"),
        (Kind.ARRAY, "[1,2.5]", "1,2.5"),
        # As an export has it, or a filter would compare "True" with "t".
        (Kind.BOOLEAN, "t", '"t"'),
        (Kind.MOMENT, "2026-11-19 05:00:00+00", "1795064400"),
        (Kind.MOMENT, "2026-11-19 05:00:00", "1795064400"),
        (Kind.MOMENT, "2026-11-19", "1795046400"),
    ],
)
def test_values_are_quoted_as_the_service_reads_them(kind: Kind, text: str, written: str) -> None:
    assert filter_values({"P": text}, {"P": kind}) == {"P": written}


@pytest.mark.parametrize(
    ("kind", "nothing"), [(Kind.TEXT, None), (Kind.TEXT, ""), (Kind.ARRAY, "[]"), (Kind.JSON, "[null]")]
)
def test_nothing_is_left_out(kind: Kind, nothing: str | None) -> None:
    assert filter_values({"P": nothing, "Q": "0"}, {"P": kind, "Q": Kind.INTEGER}) == {"Q": "0"}


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Kind.TEXT, '6" pan', "double quote"),
        (Kind.TEXT, "x" * 999, "1000 characters"),
        (Kind.FLOAT, "NaN", "finite"),
        (Kind.MOMENT, "infinity", "no time"),
        (Kind.JSON, '{"pan": 1}', "no text and no list"),
    ],
)
def test_what_no_filter_value_can_be_is_refused_without_showing_it(kind: Kind, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"\$SIZE .*{said}") as caught:
        filter_values({"SIZE": text}, {"SIZE": kind})
    assert "pan" not in str(caught.value)


def kept(tmp_path: Path, *rows: tuple[str | None, ...], kind: Kind = Kind.TEXT) -> Path:
    target = tmp_path / "values.parquet"
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    batches = pa.Table.from_arrays(columns, ["user_id", "favourite"]).to_batches(max_chunksize=2)
    passed = keep_values(batches, {"CAT": "favourite"}, {"CAT": kind}, target, name="audience.sql")
    assert list(passed) == batches
    return target


def test_each_line_gets_the_values_of_its_person(tmp_path: Path) -> None:
    values = kept(
        tmp_path, ("u2", "shoe"), ("07", None), ("u1", "a|b"), ("u2", "boot"), ("u9", "x"), kind=Kind.ARRAY
    )
    lines = tmp_path / "lines.json"
    lines.write_text('{"userId":"07"}\n{"userId":"u1"}\n{"userId":"u2"}\n{"userId":"u3"}\n')
    add_values(duckdb.connect(), lines, values, lists=False)
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert found == [
        {"userId": "07", "filterValues": {}},
        {"userId": "u1", "filterValues": {"CAT": '"a","b"'}},
        {"userId": "u2", "filterValues": {"CAT": '"boot"'}},
        {"userId": "u3", "filterValues": {}},
    ]


def test_lists_to_rank_stay_as_they_are(tmp_path: Path) -> None:
    lines = tmp_path / "lines.json"
    lines.write_text('{"userId":"u1","itemList":["10","02"]}\n')
    add_values(duckdb.connect(), lines, kept(tmp_path, ("u1", "3"), kind=Kind.INTEGER), lists=True)
    assert json.loads(lines.read_text()) == {
        "userId": "u1",
        "itemList": ["10", "02"],
        "filterValues": {"CAT": "3"},
    }


def test_a_value_that_no_filter_takes_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"audience.sql returns a value .*\$CAT holds a double quote"):
        kept(tmp_path, ("u1", 'a "b"'))
