from __future__ import annotations

import pytest
import sqlglot

from recsync.warehouse import dialects
from recsync.warehouse.dialects import Dialect, dialect_named

ALL = [
    dialects.POSTGRES, dialects.REDSHIFT, dialects.SNOWFLAKE, dialects.DUCKDB, dialects.SQLITE, dialects.MYSQL,
    dialects.BIGQUERY,
]  # fmt: skip


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_what_a_dialect_writes_is_sql_of_that_dialect(dialect: Dialect) -> None:
    text = "it's"
    query = (
        f"SELECT {dialect.epoch('at')} AS {dialect.quoted('TIMESTAMP')} FROM t"
        f" WHERE who = {dialect.literal(text)} ORDER BY {dialect.sort_key('at')}"
    )
    parsed = sqlglot.parse_one(query, dialect=dialect.name)
    assert parsed.named_selects == ["TIMESTAMP"]
    assert text in [literal.this for literal in parsed.find_all(sqlglot.exp.Literal)]
    assert [column.name for column in parsed.find_all(sqlglot.exp.Column)].count("at") >= 2


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
