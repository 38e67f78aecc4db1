"""What a person reads about a broken rule."""

from __future__ import annotations

import pytest

from recsync.export.checks.report import row_text, rows_and_share
from recsync.formatting import percent


def told(rule: str, column: str, example: str = "") -> str:
    return row_text(
        rule,
        sql="a.sql",
        what=rows_and_share(7, 1.0),
        column=column,
        kind="",
        example=example,
        interval="[5, 6)",
    )


@pytest.mark.parametrize(
    ("share", "written"),
    [(1.0, "100%"), (0.25, "25%"), (0.002, "0.2%"), (0.123456, "12.35%"), (0.00001, "<0.01%"), (0.999999, ">99.99%")],
)  # fmt: skip
def test_percents_are_written_as_people_write_them(share: float, written: str) -> None:
    assert percent(share) == written


@pytest.mark.parametrize("column", ["USER_ID", "ITEM_ID", "TIMESTAMP"])
def test_what_no_schema_makes_nullable_is_to_be_left_out(column: str) -> None:
    assert told("missing", column) == (
        f"a.sql returns 7 row(s) (100%) without {column}, which Amazon Personalize takes no row without. "
        "Leave such rows out, e.g. WHERE … IS NOT NULL."
    )
    assert "make the field a union with null" in told("missing", "AGE")


def test_a_day_without_a_time_is_told_from_a_time_outside_the_interval() -> None:
    assert "a day without a time" in told("timestamp_range", "TIMESTAMP", str(20_000 * 86_400))
    assert "floor, do not round" in told("timestamp_range", "TIMESTAMP", str(20_000 * 86_400 + 61))
