"""What every warehouse that can run here must do alike."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from sqlalchemy.engine import URL

from recsync.core.intervals import Interval
from recsync.core.queries.select import map_columns, select_columns
from recsync.core.queries.templates import render
from recsync.errors import FatalError
from recsync.hooks.warehouse import Warehouse, warehouse
from recsync.hooks.warehouse.dbapi import DbApiWarehouse

TEXTS = [
    "plain", "", None, 'a"b', '"', '""', "a,b", "line\nbreak", "carriage\rreturn\r\n", "back\\slash", "\\", "\\.",
    "\\N", "NULL", "ünï 漢 🛒", " lead", "trail ", "it's", "tab\t", "100%", "%s", "|",
]  # fmt: skip
MOMENTS = [
    "1969-12-31 23:59:58.000000", "1969-12-31 23:59:58.500000", "1969-12-31 23:59:59.500000",
    "1970-01-01 00:00:00.000000", "1970-01-01 00:00:00.500000", "1970-01-01 00:00:01.500000",
    "2026-11-22 05:59:59.999000", "2026-11-22 06:00:00.500000", "2026-11-22 06:00:01.500000",
]  # fmt: skip
ROWS = [(number, text) for number, text in enumerate(TEXTS)]


class SqliteHook(DbApiHook):
    """SQLite as a provider would bring it: SQLAlchemy knows the driver."""

    conn_name_attr = "sqlite_conn_id"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def sqlalchemy_url(self) -> URL:
        return URL.create("sqlite", database=str(self.path))

    def get_conn(self) -> Any:
        return sqlite3.connect(self.path)


class BareSqliteHook(SqliteHook):
    """A driver that SQLAlchemy does not know."""

    @property
    def sqlalchemy_url(self) -> URL:
        raise NotImplementedError

    def get_uri(self) -> str:
        raise NotImplementedError


@pytest.fixture(params=["postgres", "duckdb", "sqlite", "sqlite, bare", "postgres, generic"])
def source(
    request: pytest.FixtureRequest,
    connect: Any,
    postgres: psycopg.Connection[Any],
    postgres_fields: dict[str, Any],
    database_file: Path,
) -> Warehouse:
    kind: str = request.param
    if kind.startswith("postgres"):
        fill_postgres(postgres)
        connection = connect(**postgres_fields)
        return DbApiWarehouse(connection) if "generic" in kind else warehouse("warehouse")
    if kind == "duckdb":
        fill_duckdb(database_file)
        connect(conn_type="duckdb", host=str(database_file))
        return warehouse("warehouse")
    fill_sqlite(database_file)
    hook = BareSqliteHook(database_file) if "bare" in kind else SqliteHook(database_file)
    return DbApiWarehouse(connect(conn_type="sqlite"), hook)


def fill_postgres(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TABLE texts (number int, text text)")
    connection.execute("CREATE TABLE moments (number int, moment timestamptz, local timestamp)")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO texts VALUES (%s, %s)", ROWS)
        moments = [(n, f"{moment}+00", moment) for n, moment in enumerate(MOMENTS)]
        cursor.executemany("INSERT INTO moments VALUES (%s, %s, %s)", moments)


def fill_duckdb(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE texts (number int, text text)")
        connection.execute("CREATE TABLE moments (number int, moment timestamptz, local timestamp)")
        connection.executemany("INSERT INTO texts VALUES (?, ?)", ROWS)
        moments = [(n, f"{moment}+00", moment) for n, moment in enumerate(MOMENTS)]
        connection.executemany("INSERT INTO moments VALUES (?, ?, ?)", moments)


def fill_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE texts (number int, text text)")
        connection.execute("CREATE TABLE moments (number int, moment text, local text)")
        connection.executemany("INSERT INTO texts VALUES (?, ?)", ROWS)
        connection.executemany(
            "INSERT INTO moments VALUES (?, ?, ?)", [(n, m, m) for n, m in enumerate(MOMENTS)]
        )


def test_texts_come_through_to_the_letter(source: Warehouse, read_all: Any, parse: Any) -> None:
    with source.open_csv("SELECT number, text FROM texts ORDER BY number", name="shop/items.sql") as stream:
        data = read_all(stream)
    assert parse(data) == [[str(number), text] for number, text in ROWS]


def test_what_needs_no_quotes_has_none(source: Warehouse, read_all: Any) -> None:
    query = "SELECT number, text FROM texts WHERE number IN (0, 1, 2, 10) ORDER BY number"
    with source.open_csv(query, name="x") as stream:
        assert read_all(stream) == b'0,plain\n1,""\n2,\n10,\\\n'


def test_epoch_seconds_are_floored_alike(source: Warehouse, read_all: Any) -> None:
    hour = Interval.until(datetime(2026, 11, 22, tzinfo=UTC))
    text = "SELECT {{ epoch('moment') }} AS a, {{ epoch('local') }} AS b FROM moments ORDER BY number"
    query = render(text, hour, name="x", dialect=source.dialect)
    with source.open_csv(query, name="x") as stream:
        lines = read_all(stream).decode().splitlines()
    expected = [math.floor(datetime.fromisoformat(f"{moment}+00:00").timestamp()) for moment in MOMENTS]
    assert lines == [f"{seconds},{seconds}" for seconds in expected]
    assert -1 in expected


def test_the_same_rows_are_the_same_bytes_in_whatever_order_they_were_written(
    source: Warehouse, read_all: Any
) -> None:
    mixed = "SELECT text, number FROM texts ORDER BY number % 7, number"
    back = "SELECT text, number FROM texts ORDER BY number DESC"
    read: list[bytes] = []
    for query in (mixed, back):
        columns = map_columns(source.columns(query, name="x"), ["NUMBER", "TEXT"], name="x")
        assert columns == {"NUMBER": "number", "TEXT": "text"}
        wrapped = select_columns(query, columns, ordered=True, dialect=source.dialect)
        with source.open_csv(wrapped, name="x") as stream:
            read.append(read_all(stream))
    assert read[0] == read[1]
    assert read[0].startswith(b"0,plain\n")


def test_rows_are_tuples_of_the_columns_asked_for(source: Warehouse) -> None:
    rows = source.rows("SELECT text, number FROM texts", ["NUMBER", "text"], name="x")
    assert sorted(rows, key=lambda row: row[0]) == ROWS
    with pytest.raises(FatalError, match=r"x does not return the column.* PRICE; it returns text, number"):
        list(source.rows("SELECT text, number FROM texts", ["PRICE"], name="x"))


def test_no_rows_are_no_bytes(source: Warehouse, read_all: Any) -> None:
    with source.open_csv("SELECT number FROM texts WHERE number < 0", name="x") as stream:
        assert read_all(stream) == b""
        assert stream.read(10) == b""


def test_small_reads_give_the_same_bytes(source: Warehouse, read_all: Any) -> None:
    query = "SELECT number, text FROM texts ORDER BY number"
    with source.open_csv(query, name="x") as stream:
        whole = read_all(stream)
    with source.open_csv(query, name="x") as stream:
        pieces = list(iter(lambda: stream.read(7), b""))
    assert b"".join(pieces) == whole
    assert max(map(len, pieces)) == 7


@pytest.mark.parametrize("query", ["SELECT nothing FROM texts", "SELECT 1 FROM nowhere", "SELEC 1"])
def test_a_wrong_query_is_fatal_and_named(source: Warehouse, query: str) -> None:
    uses: list[Callable[[], Any]] = [
        lambda: source.columns(query, name="shop/items.sql"),
        lambda: list(source.rows(query, ["A"], name="shop/items.sql")),
    ]
    for use in uses:
        with pytest.raises(
            FatalError, match=r"\(warehouse\) refused shop/items.sql: .*Correct include/sql/shop/items"
        ):
            use()
    with pytest.raises(FatalError, match="refused"), source.open_csv(query, name="x") as stream:
        stream.read(1)
