"""What stands in an input line for each person."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from recsync.core.filters.values import add_values, filter_values, keep_values
from recsync.errors import FatalError


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("horror", '"horror"'),
        ("a, b", '"a, b"'),
        ("it's", '"it\'s"'),
        (["horror", "comedy"], '"horror","comedy"'),
        (("x", None, ""), '"x"'),
        (7, "7"),
        (-3.50, "-3.5"),
        (1e16, "10000000000000000"),
        (0.1, "0.1"),
        (Decimal("12.340"), "12.34"),
        (Decimal(1200), "1200"),
        (np.int64(5), "5"),
        (np.float32(2.5), "2.5"),
        ([1, 2.5], "1,2.5"),
        (True, '"True"'),
        (datetime(2026, 11, 19, 5, tzinfo=UTC), "1795064400"),
        (datetime(2026, 11, 19, 5), "1795064400"),
        (date(2026, 11, 19), "1795046400"),
    ],
)
def test_values_are_quoted_as_the_service_reads_them(value: Any, written: str) -> None:
    assert filter_values({"P": value}) == {"P": written}


@pytest.mark.parametrize("nothing", [None, "", [], [None]])
def test_nothing_is_left_out(nothing: Any) -> None:
    assert filter_values({"P": nothing, "Q": 0}) == {"Q": "0"}


@pytest.mark.parametrize(
    ("value", "said"), [('6" pan', "double quote"), ("x" * 999, "1000 characters"), (float("nan"), "finite")]
)
def test_what_no_filter_value_can_be_is_refused_without_showing_it(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=rf"\$SIZE .*{said}") as caught:
        filter_values({"SIZE": value})
    assert "pan" not in str(caught.value)


def kept(tmp_path: Path, *rows: tuple[Any, ...]) -> Path:
    target = tmp_path / "values.parquet"
    passed = keep_values(rows, ["user_id", "favourite"], {"CAT": "favourite"}, target, name="audience.sql")
    assert list(passed) == list(rows)
    return target


def test_each_line_gets_the_values_of_its_person(tmp_path: Path) -> None:
    values = kept(tmp_path, ("u2", "shoe"), ("07", None), ("u1", ["a", "b"]), ("u2", "boot"), ("u9", "x"))
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
    add_values(duckdb.connect(), lines, kept(tmp_path, ("u1", 3)), lists=True)
    assert json.loads(lines.read_text()) == {
        "userId": "u1",
        "itemList": ["10", "02"],
        "filterValues": {"CAT": "3"},
    }


def test_a_value_that_no_filter_takes_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"audience.sql returns a value .*\$CAT holds a double quote"):
        kept(tmp_path, ("u1", 'a "b"'))
