"""One query in a SQL file, whatever stands behind it."""

from __future__ import annotations

import pytest

from recsync.errors import FatalError
from recsync.warehouse.dialects import BIGQUERY, DUCKDB, MSSQL, MYSQL, POSTGRES, SNOWFLAKE, SQLITE, Dialect
from recsync.warehouse.statements import single_query


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
