from __future__ import annotations

import pytest

from recsync.errors import FatalError
from recsync.warehouse.dialects import DUCKDB, MYSQL, POSTGRES
from recsync.warehouse.select import map_columns, select_columns


def test_columns_are_found_whatever_their_case() -> None:
    assert map_columns(["item_id", "user_id"], ["USER_ID", "ITEM_ID"], name="x") == {
        "USER_ID": "user_id",
        "ITEM_ID": "item_id",
    }


def test_missing_columns_are_named_with_what_is_there() -> None:
    with pytest.raises(FatalError, match=r"TIMESTAMP; it returns user, at"):
        map_columns(["user", "at"], ["TIMESTAMP"], name="x")


def test_a_column_that_comes_twice_is_named() -> None:
    with pytest.raises(FatalError, match=r"returns the column.* USER_ID more than once"):
        map_columns(["user_id", "item_id", "USER_ID"], ["USER_ID"], name="x")


def test_rows_are_sorted_by_every_column_so_that_the_bytes_repeat() -> None:
    columns = {"A": "a", 'B"': 'b"'}
    wrapped = select_columns("SELECT 1", columns, ordered=True, dialect=DUCKDB)
    assert wrapped.startswith('SELECT "a" AS "A", "b""" AS "B""" FROM (')
    assert wrapped.endswith('ORDER BY recsync_rows."a", recsync_rows."b"""')
    by_bytes = select_columns("SELECT 1", {"A": "a"}, ordered=True, dialect=POSTGRES)
    assert by_bytes.endswith('ORDER BY recsync_rows."a"::text COLLATE "C"')
    assert "ORDER BY" not in select_columns("SELECT 1", columns, ordered=False, dialect=DUCKDB)


def test_names_are_quoted_as_the_dialect_has_it() -> None:
    assert select_columns("SELECT 1", {"A": "a"}, ordered=False, dialect=MYSQL).startswith(
        "SELECT `a` AS `A`"
    )


def test_a_comment_at_the_end_of_the_query_hides_nothing() -> None:
    assert "-- all\n)" in select_columns("SELECT 1 -- all", {"A": "a"}, ordered=False)
