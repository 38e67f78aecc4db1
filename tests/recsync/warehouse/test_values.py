from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from recsync.program.intervals import Interval
from recsync.warehouse.column_types import Kind
from recsync.warehouse.values import LONG_MIN, TimeRange, converter, moment, number, parts, time_unit

START, END = datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2.0", 2), ("+7.", 7), ("-0.5", -0.5), ("12345678901234567890", 12345678901234567890), ("1e3", 1000)],
)
def test_whole_numbers_stay_exact(text: str, value: float) -> None:
    assert (number(text), type(number(text))) == (value, type(value))


@pytest.mark.parametrize("text", ["", "nan", "1e999", "1,5", "0x10"])
def test_texts_that_are_no_finite_number_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no finite number"):
        number(text)


@pytest.mark.parametrize(
    "text",
    ["2026-11-22 05:00:00", "2026-11-22T06:00:00+01:00", "2026-11-22 05:00:00 +00:00", "2026-11-22T05:00:00Z",
     str(int(START.timestamp()))],
)  # fmt: skip
def test_times_are_read_in_each_notation(text: str) -> None:
    assert moment(text) == START


@pytest.mark.parametrize("text", ["", "yesterday", "3001-01-01", "0001-01-01T00:00:00+14:00"])
def test_texts_that_are_no_time_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        moment(text)


@pytest.mark.parametrize(
    ("kind", "braze_type", "text", "value"),
    [
        (Kind.TEXT, None, "", ""),
        (Kind.INTEGER, None, "", None),
        (Kind.BOOLEAN, "string", "t", "true"),
        (Kind.BOOLEAN, None, "off", False),
        (Kind.TEXT, "number", "2.50", 2.5),
        (Kind.MOMENT, None, "2026-11-22", "2026-11-22T00:00:00+00:00"),
        (Kind.ARRAY, None, "a|b", ["a", "b"]),
        (Kind.JSON, None, '{"a": 1}', {"a": 1}),
        (Kind.TEXT, None, None, None),
    ],
)
def test_values_become_json(kind: Kind, braze_type: str | None, text: str | None, value: Any) -> None:
    assert converter(kind, braze_type)(text) == value


def test_lists_are_read_from_json_and_from_joined_texts() -> None:
    assert parts('["a|b", 1]', Kind.ARRAY) == ["a|b", 1]
    assert parts("7", Kind.JSON) == [7]
    assert parts("a|b", Kind.TEXT) == ["a|b"]


def test_rows_chosen_by_ingestion_may_be_older_than_the_interval() -> None:
    interval = Interval(START, END)
    assert TimeRange.of(interval, "event_time") == TimeRange(1795323600, 1795327199)
    assert TimeRange.of(interval, "ingestion_time") == TimeRange(LONG_MIN, 1795327200)


def test_a_time_in_another_unit_is_named() -> None:
    seconds = int(START.timestamp())
    units = [time_unit(seconds * factor) for factor in (1_000, 1_000_000, 1_000_000_000)]
    assert units == ["milliseconds", "microseconds", "nanoseconds"]
