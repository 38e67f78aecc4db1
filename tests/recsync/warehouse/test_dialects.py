from __future__ import annotations

import pytest
import sqlglot

from recsync.warehouse import dialects
from recsync.warehouse.dialects import Dialect, dialect_named

ALL = [
    dialects.POSTGRES, dialects.REDSHIFT, dialects.SNOWFLAKE, dialects.DUCKDB, dialects.SQLITE, dialects.MYSQL,
    dialects.BIGQUERY, dialects.MSSQL, dialects.ANSI,
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
