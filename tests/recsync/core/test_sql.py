from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recsync.core.intervals import Interval
from recsync.core.queries.templates import map_columns, render, select_columns
from recsync.errors import FatalError

HOUR = Interval(datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC))


def test_templates_see_the_interval_and_whether_it_is_full() -> None:
    text = "SELECT '{{ data_interval_start }}', '{{ data_interval_end }}', {{ full }};\n"
    assert (
        render(text, HOUR, name="x.sql")
        == "SELECT '2026-11-22T05:00:00+00:00', '2026-11-22T06:00:00+00:00', False"
    )
    assert "True" in render(text, Interval.until(HOUR.end), name="x.sql")


@pytest.mark.parametrize("text", ["SELECT {{ nothing }}", "SELECT {% if %}", "  ;\n"])
def test_broken_templates_name_the_file(text: str) -> None:
    with pytest.raises(FatalError, match=r"shop/items\.sql"):
        render(text, HOUR, name="shop/items.sql")


def test_columns_are_found_whatever_their_case() -> None:
    assert map_columns(["item_id", "user_id"], ["USER_ID", "ITEM_ID"], name="x") == {
        "USER_ID": "user_id",
        "ITEM_ID": "item_id",
    }


def test_missing_columns_are_named_with_what_is_there() -> None:
    with pytest.raises(FatalError, match=r"TIMESTAMP; it returns user, at"):
        map_columns(["user", "at"], ["TIMESTAMP"], name="x")


def test_rows_are_sorted_by_every_column_so_that_the_bytes_repeat() -> None:
    wrapped = select_columns("SELECT 1", {"A": "a", 'B"': 'b"'})
    assert wrapped.startswith('SELECT "a" AS "A", "b""" AS "B""" FROM (')
    assert wrapped.endswith("ORDER BY 1, 2")
