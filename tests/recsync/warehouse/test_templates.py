from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recsync.errors import FatalError
from recsync.program.intervals import Interval
from recsync.warehouse.dialects import BIGQUERY, DUCKDB, MSSQL, MYSQL, POSTGRES, SNOWFLAKE, SQLITE, Dialect
from recsync.warehouse.templates import render, single_query

HOUR = Interval(datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC))


def test_templates_see_the_interval_and_whether_it_is_full() -> None:
    text = "SELECT '{{ data_interval_start }}', '{{ data_interval_end }}', {{ full }};\n"
    assert (
        render(text, HOUR, name="x.sql", dialect=POSTGRES)
        == "SELECT '2026-11-22T05:00:00+00:00', '2026-11-22T06:00:00+00:00', False"
    )
    assert "True" in render(text, Interval.until(HOUR.end), name="x.sql", dialect=POSTGRES)


def test_epoch_seconds_are_written_in_the_dialect_of_the_warehouse() -> None:
    text = "SELECT {{ epoch('o.sold_at') }} AS timestamp FROM o"
    assert render(text, HOUR, name="x", dialect=POSTGRES) == (
        "SELECT CASE WHEN isfinite((o.sold_at)) THEN FLOOR(EXTRACT(EPOCH FROM (o.sold_at)))::bigint END AS timestamp"
        " FROM o"
    )
    assert "DATE_TRUNC('second', (o.sold_at))" in render(text, HOUR, name="x", dialect=DUCKDB)


def test_an_interval_is_known_in_epoch_seconds_too() -> None:
    text = "SELECT 1 WHERE ms >= {{ data_interval_start_epoch * 1000 }} AND s < {{ data_interval_end_epoch }}"
    start = int(HOUR.start.timestamp())
    expected = f"SELECT 1 WHERE ms >= {start}000 AND s < {start + 3600}"
    assert render(text, HOUR, name="x", dialect=POSTGRES) == expected


def test_a_wrong_form_of_a_time_names_file_and_line() -> None:
    with pytest.raises(FatalError, match=r"shop/items\.sql:2: .*'%d' is no form of a date"):
        render("SELECT\n{{ epoch_text('a', '%d') }}", HOUR, name="shop/items.sql", dialect=POSTGRES)


@pytest.mark.parametrize("text", ["SELECT {{ nothing }}", "SELECT {% if %}", "  ;\n", "SELECT {{ epoch() }}"])
def test_broken_templates_name_the_file(text: str) -> None:
    with pytest.raises(FatalError, match=r"shop/items\.sql"):
        render(text, HOUR, name="shop/items.sql", dialect=POSTGRES)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT 1;\n", "SELECT 1"),
        ("SELECT 1 ; ; \n", "SELECT 1"),
        ("SELECT 1; -- done; really", "SELECT 1"),
        ("SELECT 1; /* ; */ -- x\n;", "SELECT 1"),
        ("SELECT 1 -- no semicolon;", "SELECT 1"),
        ("-- ;\nSELECT ';' AS a;", "-- ;\nSELECT ';' AS a"),
        ("SELECT 'it''s;' AS \"a;\"\"b\" /* ; */ FROM t;", "SELECT 'it''s;' AS \"a;\"\"b\" /* ; */ FROM t"),
        ("SELECT '--' || '/*' || 'x';", "SELECT '--' || '/*' || 'x'"),
        ("SELECT 'c:\\' AS a;", "SELECT 'c:\\' AS a"),
        ("SELECT E'it\\';s' AS a;", "SELECT E'it\\';s' AS a"),
        ("SELECT date'2026-01-01', 'a\\';", "SELECT date'2026-01-01', 'a\\'"),
        ("SELECT $$;'$$ AS a, $x$ $$; $x$ AS b;", "SELECT $$;'$$ AS a, $x$ $$; $x$ AS b"),
        ("SELECT a$b$ FROM t; -- $b$", "SELECT a$b$ FROM t"),
        ("SELECT 1; /* a /* b; */ c; */", "SELECT 1"),
        (";SELECT 1;", "SELECT 1"),
    ],
)
def test_what_stands_behind_a_query_is_left_out(text: str, query: str) -> None:
    assert single_query(text, name="x.sql", dialect=POSTGRES) == query
    assert single_query(text, name="x.sql", dialect=DUCKDB) == query


@pytest.mark.parametrize(
    ("dialect", "text", "query"),
    [
        (SNOWFLAKE, "SELECT 'it\\';s'; // done;", "SELECT 'it\\';s'"),
        (MYSQL, "SELECT `a;b`; # done;", "SELECT `a;b`"),
        (BIGQUERY, "SELECT '\\';' FROM `p;d`; # x", "SELECT '\\';' FROM `p;d`"),
        (MSSQL, 'SELECT [a;]]b], "c;" FROM t;', 'SELECT [a;]]b], "c;" FROM t'),
        (SQLITE, "/* a /* b */ SELECT 1; -- x", "/* a /* b */ SELECT 1"),
    ],
)
def test_each_dialect_has_its_own_comments_and_quotes(dialect: Dialect, text: str, query: str) -> None:
    assert single_query(text, name="x.sql", dialect=dialect) == query


@pytest.mark.parametrize("text", ["", " ; -- nothing\n", "/* nothing */"])
def test_a_file_without_query_is_named(text: str) -> None:
    with pytest.raises(FatalError, match=r"^shop/items\.sql holds no query"):
        single_query(text, name="shop/items.sql", dialect=POSTGRES)


def test_a_second_statement_is_named_with_its_line() -> None:
    with pytest.raises(FatalError, match=r"^shop/items\.sql:3: a second statement begins here"):
        single_query("SELECT 1; -- x\n\nSELECT 2;", name="shop/items.sql", dialect=POSTGRES)
