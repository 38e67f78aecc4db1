"""The generated SQL: parsed in each dialect, and run where it can be."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from recsync.tables.build import write_rows
from recsync.tables.ddl import (
    DIALECTS,
    EXTERNAL,
    TableLocation,
    create_native,
    ddl,
    load_partition,
    markdown,
    partitions,
    person_query,
    refreshes,
    schema_name,
)
from recsync.tables.schema import DATE, TABLES

PLACE = TableLocation.of("my-shop", "bucket", "")
DAY = date(2026, 1, 2)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "tables.md"
# Words that some engine reserves; a column of such a name would need quotes there.
RESERVED = {
    "at", "by", "current", "end", "from", "group", "interval", "limit", "of", "offset", "order", "range", "rows",
    "table", "tag", "timestamp", "to", "user", "using", "value", "values", "when", "with",
}  # fmt: skip
# sqlglot does not know these; the parts that it cannot read.
UNKNOWN = {
    "bigquery": r"WITH CONNECTION `aws-us-east-1\.recsync`\nWITH PARTITION COLUMNS \(date DATE\)\n",
    "redshift_spectrum": r"(?s)CREATE EXTERNAL SCHEMA IF NOT EXISTS recsync_my_shop\nFROM DATA CATALOG "
    r"DATABASE 'recsync_my_shop'\nIAM_ROLE '[\w:/-]+'\nCREATE EXTERNAL DATABASE IF NOT EXISTS",
}


def parsed(statement: str, dialect: str) -> exp.Expression:
    found = sqlglot.parse_one(statement, dialect=DIALECTS[dialect].sqlglot)
    assert not isinstance(found, exp.Command), statement
    return found


@pytest.mark.parametrize("dialect", EXTERNAL)
def test_every_statement_is_one_of_its_dialect(dialect: str) -> None:
    statements = ddl(PLACE, dialect)
    written = [re.sub(UNKNOWN.get(dialect, "$^"), "", each) for each in statements]
    # What was taken out is there: once a table, or once.
    assert sum(before != after for before, after in zip(statements, written, strict=True)) == {
        "bigquery": len(TABLES),
        "redshift_spectrum": 1,
    }.get(dialect, 0)
    made = [parsed(each, dialect) for each in written if each]
    tables = [each for each in made if each.find(exp.Table) and each.args.get("kind") in {"TABLE", "VIEW"}]
    assert [each.find(exp.Table).name for each in tables] == list(TABLES)  # type: ignore[union-attr]
    for statement, table in zip(statements[-len(TABLES) :], TABLES.values(), strict=True):
        assert [name for name in [*table.names, DATE] if not re.search(rf"\b{name}\b", statement)] == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_loading_and_the_query_about_a_person_parse(dialect: str) -> None:
    for table in TABLES.values():
        created = parsed(create_native(table, dialect, "recsync"), dialect)
        assert [column.name for column in created.find_all(exp.ColumnDef)] == [*table.names, DATE]
        deleted, inserted = load_partition(table, "recsync", PLACE.schema, "my-shop", DAY)
        assert isinstance(parsed(deleted, dialect), exp.Delete)
        assert isinstance(parsed(inserted, dialect), exp.Insert)
    query = parsed(person_query(dialect, PLACE.schema, "it's", DAY, DAY), dialect)
    assert {table.name for table in query.find_all(exp.Table)} >= {
        "accounts",
        "lists",
        "deliveries",
        "outcomes",
    }
    assert [literal.this for literal in query.find_all(exp.Literal) if "it" in literal.this] == ["it's"]


def test_redshift_is_told_of_days_and_snowflake_of_objects() -> None:
    found = partitions(PLACE, [DAY], [TABLES["lists"]])
    assert found[0].endswith("LOCATION 's3://bucket/my-shop/tables/lists/date=2026-01-02/'")
    assert isinstance(parsed(found[0], "redshift_spectrum"), exp.Alter)
    assert len(refreshes(PLACE)) == len(TABLES)
    assert schema_name("my-shop") == PLACE.schema == "recsync_my_shop"


def test_athena_finds_the_days_by_itself() -> None:
    statement = ddl(PLACE, "athena", [TABLES["lists"]])[1]
    template = PLACE.table(TABLES["lists"]) + f"/date=${{{DATE}}}/"
    assert f"'storage.location.template' = '{template}'" in statement
    assert "'projection.date.range' = '2026-01-01,NOW'" in statement


def test_the_statements_for_duckdb_run(tmp_path: Path) -> None:
    for table in TABLES.values():
        path = tmp_path / table.name / f"{DATE}={DAY}" / "x.parquet"
        path.parent.mkdir(parents=True)
        write_rows(table, [{"program": "my-shop"}], path)
    with duckdb.connect() as database:
        for statement in ddl(TableLocation(str(tmp_path), "t"), "duckdb"):
            database.execute(statement)
        database.execute("CREATE SCHEMA mine")
        for table in TABLES.values():
            database.execute(create_native(table, "duckdb", "mine"))
            for _ in range(2):  # repeated, it leaves the same rows
                for statement in load_partition(table, "mine", "t", "my-shop", DAY):
                    database.execute(statement)
            assert database.sql(f"SELECT program, {DATE} FROM mine.{table.name}").fetchall() == [
                ("my-shop", DAY)
            ]
        assert database.sql(person_query("duckdb", "t", "nobody", DAY, DAY)).fetchall() == []


def test_no_column_needs_quotes() -> None:
    names = {name for table in TABLES.values() for name in table.names} | {*TABLES}
    assert names & RESERVED == set()
    assert all(re.fullmatch(r"[a-z][a-z_]*", name) for name in names)
    for table in TABLES.values():
        assert len(set(table.names)) == len(table.names)
        assert {*table.key, *table.order} <= {*table.names}


def test_the_page_shows_the_schemas_and_the_query() -> None:
    text = PAGE.read_text()
    assert markdown() in text
    shown = person_query("duckdb", "recsync_grocery", "the user_id", date(2026, 11, 1), date(2026, 11, 30))
    assert f"```sql\n{shown}\n```" in text
