"""What every warehouse that can run here must do alike."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from sqlalchemy.engine import URL

from recsync.errors import FatalError, RecsyncError
from recsync.program.intervals import Interval
from recsync.warehouse.column_types import Kind
from recsync.warehouse.event_mapping import map_columns, select_columns
from recsync.warehouse.hooks import Warehouse, warehouse
from recsync.warehouse.hooks.dbapi import DbApiWarehouse
from recsync.warehouse.templates import render

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


@pytest.mark.parametrize(
    ("helper", "values", "expected"),
    [
        ("epoch_ms(c)", ["1700000000999", "1700000001000", "0", "-1"], [1700000000, 1700000001, 0, -1]),
        ("epoch_us(c)", ["1700000000999999"], [1700000000]),
        ("epoch_ns(c)", ["1700000000999999999"], [1700000000]),
        ("epoch_s(c)", ["1700000000"], [1700000000]),
        (
            "epoch_text(c)",
            [
                "2026-11-01T09:30:00+01:00", "2026-11-01T08:30:00.999Z", "2026-11-01 08:30", "2026-11-01T03:30:00-0500",
                "2026-11-01",
            ],
            [1793521800, 1793521800, 1793521800, 1793521800, 1793491200],
        ),
        ("epoch_text(c, 'DD.MM.YYYY HH24:MI')", ["01.11.2026 08:30", "31.12.2025 00:00"], [1793521800, 1767139200]),
        ("epoch_text(c, 'MM/DD/YYYY HH24:MI:SS')", ["11/01/2026 08:30:59"], [1793521859]),
        ("epoch_text(c, 'YYYYMMDD')", ["20261101"], [1793491200]),
        ("number(c, ',')", ["1.234,50 €", "EUR 12,90", "7", ""], [1234.5, 12.9, 7, None]),
        ("number(c)", ["$1,234.50", "12.90"], [1234.5, 12.9]),
    ],
)  # fmt: skip
def test_numbers_and_texts_become_the_same_values(
    source: Warehouse, helper: str, values: list[str], expected: list[float | None], read_all: Any
) -> None:
    kind = "VARCHAR" if helper.startswith(("epoch_text", "number")) else "BIGINT"
    selects = (f"SELECT {n} AS n, CAST('{value}' AS {kind}) AS c" for n, value in enumerate(values))
    helper = helper.replace("(c", "('c'")
    text = f"SELECT {{{{ {helper} }}}} AS a FROM ({' UNION ALL '.join(selects)}) AS t ORDER BY n"
    if source.dialect.name == "sqlite":
        text = text.replace("AS VARCHAR", "AS TEXT").replace("AS BIGINT", "AS INTEGER")
    query = render(text, Interval.until(datetime(2026, 11, 22, tzinfo=UTC)), name="x", dialect=source.dialect)
    with source.open_csv(query, name="x") as stream:
        lines = read_all(stream).decode().split("\n")[:-1]
    assert [float(line) if line else None for line in lines] == expected


@pytest.mark.parametrize("source", ["postgres", "duckdb"], indirect=True)
def test_a_year_of_two_digits_is_one_of_this_century(source: Warehouse, read_all: Any) -> None:
    text = "SELECT {{ epoch_text('c', 'DD.MM.YY') }} AS a FROM (SELECT '01.11.26' AS c) AS t"
    query = render(text, Interval.until(datetime(2026, 11, 22, tzinfo=UTC)), name="x", dialect=source.dialect)
    with source.open_csv(query, name="x") as stream:
        assert read_all(stream).decode().split() == ["1793491200"]


@pytest.mark.parametrize("source", ["postgres", "duckdb"], indirect=True)
def test_a_text_that_is_no_time_is_null_and_leaves_the_other_rows(source: Warehouse, read_all: Any) -> None:
    text = (
        "SELECT {{ epoch_text('c') }} AS a, {{ epoch_text('c', 'MM/DD/YYYY HH24:MI') }} AS b"
        " FROM (SELECT 'soon' AS c UNION ALL SELECT '12/1/2010 8:26') AS t ORDER BY c DESC"
    )
    query = render(text, Interval.until(datetime(2026, 11, 22, tzinfo=UTC)), name="x", dialect=source.dialect)
    with source.open_csv(query, name="x") as stream:
        assert read_all(stream).decode().split() == [",", ",1291191960"]


def test_the_same_rows_are_the_same_bytes_in_whatever_order_they_were_written(
    source: Warehouse, read_all: Any
) -> None:
    mixed = "SELECT text, number FROM texts ORDER BY number % 7, number"
    back = "SELECT text, number FROM texts ORDER BY number DESC"
    read: list[bytes] = []
    for query in (mixed, back):
        returned = [column.name for column in source.columns(query, name="x")]
        columns = map_columns(returned, ["NUMBER", "TEXT"], name="x")
        assert columns == {"NUMBER": "number", "TEXT": "text"}
        wrapped = select_columns(query, columns, ordered=True, dialect=source.dialect)
        with source.open_csv(wrapped, name="x") as stream:
            read.append(read_all(stream))
    assert read[0] == read[1]
    assert read[0].startswith(b"0,plain\n")


def test_rows_are_read_in_the_texts_of_an_export(source: Warehouse, read_all: Any, parse: Any) -> None:
    query = "SELECT text, number FROM texts"
    with source.read(query, ["NUMBER", "text"], name="x") as rows:
        read = [row for batch in rows.batches for row in zip(*batch.to_pydict().values(), strict=True)]
    assert list(rows.columns) == ["NUMBER", "text"]
    assert rows.columns["NUMBER"].kind is Kind.INTEGER
    assert sorted(read, key=lambda row: int(row[0])) == [(str(number), text) for number, text in ROWS]
    with (
        pytest.raises(FatalError, match=r"x does not return the column.* PRICE; it returns text, number"),
        source.read(query, ["PRICE"], name="x"),
    ):
        pass


def test_a_number_has_one_text_on_every_path(source: Warehouse, read_all: Any) -> None:
    query = "SELECT number, number * 1.5 AS price, number / 3.0 AS third FROM texts ORDER BY number"
    with source.open_csv(query, name="x") as stream:
        exported = read_all(stream).decode().splitlines()
    with source.read(query, ["number", "price", "third"], name="x") as rows:
        read = [
            ",".join(row) for batch in rows.batches for row in zip(*batch.to_pydict().values(), strict=True)
        ]
    assert read == exported


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (
            "CAST(number AS double precision)",
            r"USER_ID is a floating-point number .*, write CAST\(USER_ID AS BIGINT\)",
        ),
        ("CAST(number AS numeric) + 0.5", "USER_ID is a (decimal|floating-point) number"),
    ],
)
def test_types_that_are_no_ids_are_refused_by_name(source: Warehouse, expression: str, words: str) -> None:
    query = f"SELECT {expression} AS user_id FROM texts"
    with (
        pytest.raises(FatalError, match=rf"^shop/users.sql returns ids of a type that is no id.*{words}"),
        source.read(query, ["USER_ID"], name="shop/users.sql", ids=["USER_ID"]) as rows,
    ):
        list(rows.batches)


def test_integers_and_texts_are_ids(source: Warehouse) -> None:
    query = "SELECT number AS user_id, text AS item_id FROM texts"
    with source.read(query, ["user_id", "item_id"], name="x", ids=["user_id", "item_id"]) as rows:
        assert sum(batch.num_rows for batch in rows.batches) == len(ROWS)


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
    refused = r"\(warehouse\) refused shop/items.sql: .*Correct include/sql/shop/items"
    with pytest.raises(FatalError, match=refused):
        source.columns(query, name="shop/items.sql")
    with pytest.raises(FatalError, match=refused), source.read(query, ["A"], name="shop/items.sql"):
        pass
    with pytest.raises(FatalError, match="refused"), source.open_csv(query, name="x") as stream:
        stream.read(1)


@pytest.fixture(params=["postgres", "duckdb"])
def rich(
    request: pytest.FixtureRequest,
    connect: Any,
    postgres: psycopg.Connection[Any],
    postgres_fields: dict[str, Any],
    database_file: Path,
) -> Warehouse:
    """A warehouse that has arrays, JSON and infinite times."""
    if request.param == "postgres":
        connect(**postgres_fields)
        return warehouse("warehouse")
    with duckdb.connect(str(database_file)) as connection:
        connection.execute("SELECT 1")
    connect(conn_type="duckdb", host=str(database_file))
    return warehouse("warehouse")


ARRAYS = {
    "postgres": "ARRAY['Action', 'Sci-Fi', NULL, 'a \"b\"']",
    "duckdb": "['Action', 'Sci-Fi', NULL, 'a \"b\"']",
}


def test_an_infinite_time_has_no_epoch_and_leaves_the_other_rows(rich: Warehouse, read_all: Any) -> None:
    moments = "'-infinity', 'infinity', '2026-11-22 05:00:00'"
    for kind in ("timestamp", "timestamptz"):
        values = ", ".join(f"(CAST({moment} AS {kind}))" for moment in moments.split(", "))
        text = f"SELECT {{{{ epoch('moment') }}}} AS a FROM (VALUES {values}) AS m(moment)"
        hour = Interval.until(datetime(2026, 11, 22, tzinfo=UTC))
        query = render(text, hour, name="x", dialect=rich.dialect)
        with rich.open_csv(query, name="x") as stream:
            assert read_all(stream) == b"\n\n1795323600\n"


def test_arrays_and_json_arrays_are_joined_as_categories(rich: Warehouse, read_all: Any) -> None:
    json_values = ['["Action", "Sci-Fi"]', "[]", '"Action"', "null", '{"a": 1}']
    for expressions, joined in (
        ([ARRAYS[rich.dialect.name]], ['Action|Sci-Fi|a "b"']),
        (
            [f"CAST('{value}' AS json)" for value in json_values],
            ["Action|Sci-Fi", None, "Action", None, None],
        ),
    ):
        query = " UNION ALL ".join(f"SELECT {n} AS n, {one} AS v" for n, one in enumerate(expressions))
        types = {column.name: column for column in rich.columns(query, name="x")}
        templates = {"V": rich.dialect.joined[types["v"].kind]}
        select = select_columns(
            query, {"N": "n", "V": "v"}, ordered=True, dialect=rich.dialect, templates=templates
        )
        with rich.read(select, ["N", "V"], name="x") as rows:
            read = [value for batch in rows.batches for value in batch["V"].to_pylist()]
        found = [None if value == "" or (value or "").startswith("{") else value for value in read]
        assert found == joined


def test_arrays_are_read_as_json_and_numbers_as_they_are(rich: Warehouse) -> None:
    query = f"""
        SELECT {ARRAYS[rich.dialect.name]} AS tags, CAST('{{"a": [1, "b"]}}' AS json) AS doc,
            CAST(1.90 AS numeric(9, 2)) AS price, 12345678901234567 AS long, CAST(1 = 1 AS boolean) AS sure,
            CAST('2026-11-22' AS date) AS day
    """
    names = ["tags", "doc", "price", "long", "sure", "day"]
    with rich.read(query, names, name="x") as rows:
        (row,) = [row for batch in rows.batches for row in batch.to_pylist()]
    assert [rows.columns[name].kind for name in names] == [
        Kind.ARRAY, Kind.JSON, Kind.DECIMAL, Kind.INTEGER, Kind.BOOLEAN, Kind.MOMENT,
    ]  # fmt: skip
    assert json.loads(row["tags"]) == ["Action", "Sci-Fi", None, 'a "b"']
    assert json.loads(row["doc"]) == {"a": [1, "b"]}
    assert (row["price"], row["long"], row["day"]) == ("1.90", "12345678901234567", "2026-11-22")
    assert row["sure"] in {"t", "true"}


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("CAST('x' AS {binary})", "is binary"),
        ("{array}", "is an array .*, write one id per row AS USER_ID"),
        ("CAST('1' AS json)", "is JSON"),
        ("1 = 1", "is a boolean"),
        ("CAST('1 day' AS interval)", "is an interval"),
        ("CAST(1 AS numeric(9, 2))", "is a decimal number .*, write CAST"),
    ],
)
def test_every_type_that_is_no_id_is_refused(rich: Warehouse, expression: str, words: str) -> None:
    binary = {"postgres": "bytea", "duckdb": "blob"}[rich.dialect.name]
    query = f"SELECT {expression.format(binary=binary, array=ARRAYS[rich.dialect.name])} AS user_id"
    with (
        pytest.raises(FatalError, match=rf"^x returns ids of a type that is no id: USER_ID {words}"),
        rich.read(query, ["USER_ID"], name="x", ids=["USER_ID"]),
    ):
        pass


def test_uuids_and_numbers_without_places_are_ids(rich: Warehouse) -> None:
    uuid = "6f2b8a34-0c0e-4a7e-9a53-0d9a3c1b2e4f"
    query = f"SELECT CAST('{uuid}' AS uuid) AS user_id, CAST(17001 AS numeric(12, 0)) AS item_id"
    with rich.read(query, ["user_id", "item_id"], name="x", ids=["user_id", "item_id"]) as rows:
        assert [batch.to_pylist() for batch in rows.batches] == [[{"user_id": uuid, "item_id": "17001"}]]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT CAST(x AS integer) AS n FROM (SELECT 'anna' || '-7f3a' AS x) t",
        "SELECT CAST(x AS timestamp) AS n FROM (SELECT 'anna' || '-7f3a' AS x) t",
        "SELECT CAST(x AS smallint) AS n FROM (SELECT 70000 * 1234 AS x) t",
    ],
)
def test_a_value_that_a_query_stumbles_over_is_not_quoted(rich: Warehouse, query: str) -> None:
    def export() -> None:
        rich.columns(query, name="items.sql")
        with rich.open_csv(query, name="items.sql") as stream:
            while stream.read(1 << 16):
                pass

    with pytest.raises(RecsyncError) as caught:
        export()
    assert "items.sql" in str(caught.value)
    assert "anna-7f3a" not in str(caught.value)
    assert "86380000" not in str(caught.value)


@pytest.mark.parametrize("keeps", [True, False])
def test_the_order_of_a_query_is_kept_where_it_counts(
    source: Warehouse, keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without an ordered subquery the query runs as it is, and its columns are taken from the result.
    monkeypatch.setattr(
        type(source), "dialect", replace(source.dialect, ordered_subqueries=keeps), raising=False
    )
    query = "SELECT number * 2 AS twice, text, number, number AS number2 FROM texts ORDER BY number DESC"
    with source.read(query, ["NUMBER", "TEXT"], name="x", ids=["NUMBER"], in_order=True) as rows:
        read = [tuple(row.values()) for batch in rows.batches for row in batch.to_pylist()]
    assert list(rows.columns) == ["NUMBER", "TEXT"]
    assert read == [(str(number), text) for number, text in reversed(ROWS)]
