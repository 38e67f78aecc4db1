"""The statements that nothing here can run are read by a parser of their dialects."""

from __future__ import annotations

from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from recsync.warehouse.dialects import ATHENA, REDSHIFT, SNOWFLAKE
from recsync.warehouse.event_mapping import select_columns
from recsync.warehouse.unload_sql import athena_unload, redshift_unload, snowflake_copy

URI = "s3://bucket/shop/exports/interactions/x.unload/1/"
ROLE = "arn:aws:iam::000000000000:role/unload"
QUERY = "SELECT user_id, note AS item_id FROM shop.sales WHERE note LIKE '\\\\d' AND kind <> 'it''s' -- all"
COLUMNS = {"USER_ID": "user_id", "ITEM_ID": "item_id"}


def tokens(statement: str) -> list[str]:
    # To sqlglot, everything after the word UNLOAD is one text; without the word it reads on.
    assert statement.startswith("UNLOAD ")
    return [token.text for token in sqlglot.tokenize(statement.removeprefix("UNLOAD "), dialect="redshift")]


@pytest.mark.parametrize("ordered", [True, False])
def test_unload_holds_the_query_as_it_is(ordered: bool) -> None:
    query = select_columns(QUERY, COLUMNS, ordered=ordered, dialect=REDSHIFT)
    found = tokens(redshift_unload(query, URI, iam_role=ROLE, ordered=ordered))
    inner = found[1]
    assert inner.strip() == query
    assert sqlglot.parse_one(inner, dialect="redshift").named_selects == ["USER_ID", "ITEM_ID"]
    assert found[0] == "("
    assert found[2:] == [
        ")", "TO", URI, "IAM_ROLE", ROLE, "FORMAT", "AS", "CSV", "MANIFEST", "VERBOSE", "ALLOWOVERWRITE",
        "PARALLEL", "OFF" if ordered else "ON",
    ]  # fmt: skip


def test_a_query_with_dollars_is_escaped_instead() -> None:
    query = "SELECT $$it's$$ AS user_id, 'a\\\\b' AS item_id"
    statement = redshift_unload(query, URI, iam_role="default", ordered=False, region="eu-west-1")
    assert "IAM_ROLE default" in statement
    assert statement.endswith("REGION 'eu-west-1'")
    literal = statement[statement.index("('") + 2 : statement.index("')\nTO")]
    assert literal.replace("\\'", "'").replace("\\\\", "\\").strip() == query
    assert "\\'" in literal


def options(statement: str) -> dict[str, Any]:
    parsed = sqlglot.parse_one(statement, dialect="snowflake")
    assert isinstance(parsed, exp.Copy)
    found: dict[str, Any] = {}
    for parameter in parsed.args["params"]:
        for option in parameter.expressions:
            found[option.this.name] = option.args["value"].sql("snowflake")
        if parameter.expression:
            found[parameter.this.name] = parameter.expression.sql("snowflake")
    return found


@pytest.mark.parametrize("ordered", [True, False])
def test_copy_into_is_a_statement_of_snowflake(ordered: bool) -> None:
    query = select_columns(QUERY, COLUMNS, ordered=ordered, dialect=SNOWFLAKE)
    statement = snowflake_copy(query, URI, storage_integration="exports", ordered=ordered)
    parsed = sqlglot.parse_one(statement, dialect="snowflake")
    assert parsed.this.name == URI
    assert parsed.args["credentials"].args["storage"].name == "exports"
    inner = parsed.args["files"][0].this
    assert inner.sql("snowflake") == sqlglot.parse_one(query, dialect="snowflake").sql("snowflake")
    assert options(statement) == {
        "TYPE": "CSV",
        "COMPRESSION": "NONE",
        "FIELD_DELIMITER": "','",
        "RECORD_DELIMITER": "'\\n'",
        "FIELD_OPTIONALLY_ENCLOSED_BY": "'\"'",
        "ESCAPE": "NONE",
        "ESCAPE_UNENCLOSED_FIELD": "NONE",
        "NULL_IF": "()",
        "EMPTY_FIELD_AS_NULL": "FALSE",
        "OVERWRITE": "TRUE",
        "SINGLE": "TRUE" if ordered else "FALSE",
        "MAX_FILE_SIZE": "5368709120" if ordered else "268435456",
        "DETAILED_OUTPUT": "TRUE",
        "HEADER": "FALSE",
    }


def test_an_integration_with_an_odd_name_is_quoted() -> None:
    statement = snowflake_copy("q", URI, storage_integration="my exports", ordered=True)
    assert 'STORAGE_INTEGRATION = "my exports"' in statement


def test_an_unload_of_athena_holds_the_query_with_every_column_as_text() -> None:
    query = select_columns(QUERY.removesuffix(" -- all"), COLUMNS, ordered=False, dialect=ATHENA)
    statement = athena_unload(query, URI)
    inner = statement.removeprefix("UNLOAD (").rpartition("\n)\nTO ")[0]
    parsed = sqlglot.parse_one(inner, dialect="athena")
    assert parsed.named_selects == ["USER_ID", "ITEM_ID"]
    assert [cast.to.this.name for cast in parsed.find_all(exp.Cast)] == ["VARCHAR", "VARCHAR"]
    assert statement.endswith(f"\n)\nTO '{URI}'\nWITH (format = 'PARQUET', compression = 'SNAPPY')")


@pytest.mark.parametrize("word", ["ACCESS_KEY", "AWS_KEY_ID", "CREDENTIALS", "SECRET"])
def test_no_statement_has_room_for_a_key(word: str) -> None:
    statements = redshift_unload("q", URI, iam_role=ROLE, ordered=True) + snowflake_copy(
        "q", URI, storage_integration="exports", ordered=True
    )
    statements += athena_unload("q", URI)
    assert word not in statements.upper()
