from __future__ import annotations

import duckdb
import pytest
import sqlglot

from recsync.warehouse import dialects
from recsync.warehouse.dialects import Dialect, dialect_named

ALL = [
    dialects.POSTGRES, dialects.REDSHIFT, dialects.SNOWFLAKE, dialects.DUCKDB, dialects.SQLITE, dialects.MYSQL,
    dialects.BIGQUERY, dialects.MSSQL, dialects.TRINO, dialects.ATHENA, dialects.ANSI,
]  # fmt: skip
SQLGLOT = {"mssql": "tsql", "ansi": ""}


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_what_a_dialect_writes_is_sql_of_that_dialect(dialect: Dialect) -> None:
    text = "it's"
    helpers = [
        dialect.epoch_number("at", 1_000),
        dialect.epoch_text("at"),
        dialect.epoch_text("at", "DD.MM.YYYY HH24:MI:SS"),
        dialect.number("at", ","),
    ]
    columns = ", ".join(f"{sql} AS h{n}" for n, sql in enumerate(helpers))
    query = (
        f"SELECT {columns}, {dialect.epoch('at')} AS {dialect.quoted('TIMESTAMP')} FROM t"
        f" WHERE who = {dialect.literal(text)} ORDER BY {dialect.sort_key('at')}"
    )
    parsed = sqlglot.parse_one(query, dialect=SQLGLOT.get(dialect.name, dialect.name))
    assert parsed.named_selects == ["h0", "h1", "h2", "h3", "TIMESTAMP"]
    assert text in [literal.this for literal in parsed.find_all(sqlglot.exp.Literal)]
    assert [column.name for column in parsed.find_all(sqlglot.exp.Column)].count("at") >= 6


def test_names_and_texts_are_quoted_as_each_dialect_has_it() -> None:
    assert dialects.POSTGRES.quoted('a"b') == '"a""b"'
    assert dialects.MYSQL.quoted("a`b") == "`a``b`"
    assert dialects.MSSQL.quoted("a]b") == "[a]]b]"
    assert dialects.POSTGRES.literal("it's \\d") == r"'it''s \d'"
    assert dialects.REDSHIFT.literal("it's \\d") == r"'it''s \\d'"


def test_a_connection_type_is_known_or_taken_for_standard_sql() -> None:
    assert dialect_named("postgresql") is dialects.POSTGRES
    assert dialect_named("gcpbigquery") is dialects.BIGQUERY
    assert dialect_named("trino") is dialects.TRINO
    assert dialect_named("teradata") is dialects.ANSI


def test_a_form_of_a_time_is_written_as_the_dialect_has_it() -> None:
    form = "DD.MM.YYYY HH24:MI"
    assert "'%d.%m.%Y %H:%i'" in dialects.MYSQL.epoch_text("at", form)
    assert "'%d.%m.%Y %H:%M'" in dialects.BIGQUERY.epoch_text("at", form)
    assert f"'{form}'" in dialects.SNOWFLAKE.epoch_text("at", form)
    assert "SUBSTRING((at), 7, 4), '-', SUBSTRING((at), 4, 2)" in dialects.MSSQL.epoch_text("at", form)


@pytest.mark.parametrize("form", ["%d.%m.%Y", "DD.MM.", "it's YYYY-MM-DD", "YYYY\\DD"])
def test_an_unknown_form_is_an_error_with_the_parts_that_are_known(form: str) -> None:
    with pytest.raises(ValueError, match="write its parts YYYY, YY, MM, Mon, DD"):
        dialects.POSTGRES.epoch_text("at", form)


def test_a_dialect_that_cuts_texts_at_their_places_says_what_it_cannot_read() -> None:
    with pytest.raises(ValueError, match="mssql cannot read HH12, AM"):
        dialects.MSSQL.epoch_text("at", "MM/DD/YYYY HH12:MI AM")
    with pytest.raises(ValueError, match="decimal mark"):
        dialects.POSTGRES.number("price", ";")


ZONES = ["2026-11-01T09:30:00+01:00", "2026-11-01 08:30", "2026-11-01T03:30:00-0500", "2026-11-01", "x", ""]
ZONED = [1793521800, 1793521800, 1793521800, 1793491200, None, None]


@pytest.mark.parametrize(
    ("name", "sql", "values", "expected"),
    [
        ("trino", dialects.TRINO.epoch_text("c"), [*ZONES, "2026-11-01 09:30:00 +01:00"], [*ZONED, None]),
        ("trino", dialects.TRINO.epoch_text("c", "DD.MM.YYYY HH24:MI"), ["01.11.2026 08:30", "x"], [1793521800, None]),
        ("trino", dialects.TRINO.epoch("CAST(c AS TIMESTAMP)"), ["1969-12-31 23:59:58.5"], [-2]),
        ("trino", dialects.TRINO.epoch_number("CAST(c AS BIGINT)", 1_000), ["1700000000999", "-1"], [1700000000, -1]),
        ("trino", dialects.TRINO.number("c", ","), ["1.234,50 €", "EUR 12,90", ""], [1234.5, 12.9, None]),
        ("bigquery", dialects.BIGQUERY.epoch_text("c"), ZONES, ZONED),
        ("bigquery", dialects.BIGQUERY.epoch("CAST(c AS TIMESTAMP)"), ["1969-12-31 23:59:58.5"], [-2]),
        ("bigquery", dialects.BIGQUERY.number("c", ","), ["1.234,50 €", "EUR 12,90", ""], [1234.5, 12.9, None]),
    ],
)  # fmt: skip
def test_helpers_have_their_values_as_sqlglot_translates_them(
    name: str, sql: str, values: list[str], expected: list[float | None]
) -> None:
    """Neither engine runs here; DuckDB runs what sqlglot understands."""
    kind = {"trino": "VARCHAR", "bigquery": "STRING"}[name]
    rows = " UNION ALL ".join(f"SELECT {n} AS n, CAST('{v}' AS {kind}) AS c" for n, v in enumerate(values))
    (query,) = sqlglot.transpile(
        f"SELECT {sql} AS a FROM ({rows}) AS t ORDER BY n", read=name, write="duckdb"
    )
    found = duckdb.sql(query).fetchall()
    assert [value if value is None else float(value) for (value,) in found] == expected


def test_athena_speaks_as_trino_does() -> None:
    assert dialect_named("athena").epoch("at") == dialects.TRINO.epoch("at")
