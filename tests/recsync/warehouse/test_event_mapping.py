"""The wrapped interactions query, run for real on three databases and parsed for two more."""

from __future__ import annotations

import secrets
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recsync.errors import FatalError
from recsync.program import DatasetType, Events
from recsync.program.avro import AvroSchema
from recsync.program.rules import event_problems
from recsync.warehouse.dialects import DUCKDB, MYSQL, POSTGRES, SQLITE, Dialect, dialect_named
from recsync.warehouse.event_mapping import (
    ReturnedQuery,
    map_columns,
    map_events,
    select_columns,
    with_empty_columns,
)
from warehouse_local.server import EmbeddedServer, running

HOUR = 1_763_798_400  # a full hour
COLUMNS = ["user_id", "item_id", "timestamp", "event_type", "event_value", "Page Name"]
EXPORTED = ["USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"]
TABLE = (
    "CREATE TABLE rows (user_id VARCHAR(20), item_id VARCHAR(20), happened BIGINT, event_type VARCHAR(40),"
    " event_value DOUBLE PRECISION, page VARCHAR(20))"
)
QUERY = (
    'SELECT user_id, item_id, happened AS timestamp, event_type, event_value, page AS "Page Name" -- it\'s all\n'
    "FROM rows -- of them"
)
STAFF = "SELECT * FROM (SELECT 'tester' AS user_id UNION ALL SELECT 'tester' UNION ALL SELECT NULL) AS staff"
Row = tuple[Any, ...]


class Database:
    """One database with the table ``rows`` and what runs a query in it."""

    def __init__(
        self, execute: Callable[[str, Sequence[Any]], list[Row]], mark: str, dialect: Dialect
    ) -> None:
        self.execute, self._mark, self.dialect = execute, mark, dialect
        execute(TABLE, ())

    def load(self, rows: Sequence[Row]) -> None:
        self.execute("DELETE FROM rows", ())
        for row in rows:
            self.execute(f"INSERT INTO rows VALUES ({', '.join([self._mark] * 6)})", row)

    def run(self, query: str) -> list[Row]:
        return sorted(self.execute(query, ()), key=repr)


@pytest.fixture(scope="module")
def sqlite_database() -> Database:
    connection = sqlite3.connect(":memory:")
    return Database(lambda sql, values: connection.execute(sql, values).fetchall(), "?", SQLITE)


@pytest.fixture(scope="module")
def duckdb_database() -> Database:
    connection = duckdb.connect(":memory:")
    return Database(lambda sql, values: connection.execute(sql, list(values)).fetchall(), "?", DUCKDB)


@pytest.fixture(scope="module")
def postgres_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder: Path = tmp_path_factory.mktemp("postgres")
    server = EmbeddedServer(folder / "data", port, secrets.token_hex(8))
    with running(server, log=folder / "log"), psycopg.connect(server.dsn(), autocommit=True) as connection:

        def execute(sql: str, values: Sequence[Any]) -> list[Row]:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

        yield Database(execute, "%s", POSTGRES)


@pytest.fixture(params=["sqlite", "duckdb", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


def returned(query: str = QUERY, columns: Sequence[str] = COLUMNS) -> ReturnedQuery:
    return ReturnedQuery("shop/interactions.sql", query, columns)


def staff(query: str = STAFF) -> ReturnedQuery:
    return ReturnedQuery("shop/staff.sql", query, ["user_id"])


def mapped(events: Events, dialect: Dialect, query: str = QUERY) -> str:
    return map_events(
        returned(query),
        events,
        exported=EXPORTED,
        excluded=staff() if events.exclude_users else None,
        dialect=dialect,
    )


def row(user: str | None = "ann", item: str | None = "tea", second: int | None = 0, kind: str | None = "view",
        value: float | None = 7.5, page: str = "p") -> Row:  # fmt: skip
    return user, item, None if second is None else HOUR + second, kind, value, page


def test_without_settings_the_query_stays_as_it_is() -> None:
    assert map_events(returned(columns=[]), Events(), exported=EXPORTED) == QUERY


def test_only_the_named_types_are_exported_with_their_values(database: Database) -> None:
    database.load([row(kind=kind) for kind in ("purchase", "view", "it's", "click", None, "VIEW")])
    events = Events(types={"purchase": 2, "view": None, "it's": -0.25, "missing": 1e-7})

    assert database.run(mapped(events, database.dialect)) == sorted(
        [row(kind="purchase", value=2.0), row(kind="view", value=7.5), row(kind="it's", value=-0.25)],
        key=repr,
    )


def test_weights_make_the_value_where_the_query_has_none(database: Database) -> None:
    database.load([row(kind="purchase"), row(kind="view")])
    bare = "SELECT item_id, event_type, happened AS timestamp, user_id FROM rows"
    query = map_events(
        returned(bare, ["item_id", "event_type", "timestamp", "user_id"]),
        Events(types={"purchase": 1.5}),
        exported=EXPORTED,
    )
    assert database.run(query) == [("tea", "purchase", HOUR, "ann", 1.5)]


def test_the_first_event_of_a_window_counts(database: Database) -> None:
    half = 30 * 60
    first = [
        row(second=10),
        row(second=half),
        row(user="bob"),
        row(item="jam"),
        row(kind="buy"),
        row(second=3600),
    ]
    repeated = [row(second=11), row(second=half - 1), row(second=half + 7), row(kind="buy", second=5)]
    # Bad rows are no session: the checks must see each of them.
    broken = [row(user=None), row(user=None, second=1), row(item=None), row(item=None, second=1)]
    broken += [row(second=None), row(second=None, value=1.0)]
    database.load([*repeated, *first, *broken])

    assert database.run(mapped(Events(session_minutes=30), database.dialect)) == sorted(
        [*first, *broken], key=repr
    )


def test_of_events_of_one_second_the_exported_columns_choose(database: Database) -> None:
    database.load([row(value=3.0, page="a"), row(value=1.0, page="z"), row(value=2.0, page="b")])
    assert database.run(mapped(Events(session_minutes=1), database.dialect)) == [row(value=1.0, page="z")]


def test_a_bot_is_left_out_for_its_hour(database: Database) -> None:
    bot = [row("bot", f"item-{n}", n, "view" if n % 2 else "click") for n in range(4)]
    kept = [row("bot", "tea", 3600), row("bot", "tea", -1), *[row("ann", "tea", n) for n in range(3)]]
    nobody = [row(None, "tea", n) for n in range(9)] + [row("ann", "tea", None)] * 5
    database.load([*bot, *kept, *nobody])

    events = Events(max_per_user_and_hour=3, types={"view": None})
    assert database.run(mapped(events, database.dialect)) == sorted([*kept, *nobody], key=repr)


def test_staff_is_left_out_once_and_nulls_harm_nobody(database: Database) -> None:
    kept = [row("ann"), row(None), row("testers")]
    database.load([*kept, row("tester"), row("tester", second=9)])
    assert database.run(mapped(Events(exclude_users="shop/staff.sql"), database.dialect)) == sorted(
        kept, key=repr
    )


def test_numbers_and_texts_are_the_same_user(database: Database) -> None:
    database.load([row("7"), row("8")])
    query = map_events(
        returned(),
        Events(exclude_users="shop/staff.sql"),
        exported=EXPORTED,
        excluded=staff("SELECT 7 AS user_id"),
        dialect=database.dialect,
    )
    assert database.run(query) == [row("8")]


def test_everything_at_once(database: Database) -> None:
    database.load(
        [row(second=2), row(), row(kind="click"), row("tester")] + [row("bot", second=n) for n in range(9)]
    )
    events = Events(
        types={"view": 0.5}, session_minutes=15, max_per_user_and_hour=5, exclude_users="shop/staff.sql"
    )
    assert database.run(mapped(events, database.dialect)) == [row(value=0.5)]


_ROWS = st.lists(
    st.builds(
        row,
        user=st.sampled_from(["ann", "bob", "tester", None]),
        item=st.sampled_from(["tea", "jam"]),
        second=st.integers(0, 3 * 3600 - 1),
        kind=st.sampled_from(["view", "buy"]),
        value=st.sampled_from([None, 1.0, 2.0]),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(
    rows=_ROWS,
    session=st.sampled_from([None, 1, 10, 30, 60]),
    most=st.sampled_from([None, 1, 4]),
    types=st.sampled_from([{}, {"buy": None}, {"buy": 3.0, "view": 1.0}]),
)
@pytest.mark.parametrize("name", ["sqlite", "duckdb"])
def test_hourly_windows_give_what_one_big_window_gives(
    request: pytest.FixtureRequest,
    name: str,
    rows: list[Row],
    session: int | None,
    most: int | None,
    types: Any,
) -> None:
    database: Database = request.getfixturevalue(f"{name}_database")
    database.load(rows)
    events = Events(
        types=types, session_minutes=session, max_per_user_and_hour=most, exclude_users="shop/staff.sql"
    )
    windows = [
        f"SELECT * FROM (\n{QUERY}\n) AS q WHERE timestamp >= {HOUR + 3600 * n} AND timestamp < {HOUR + 3600 * (n + 1)}"
        for n in range(3)
    ]
    hourly = [found for window in windows for found in database.run(mapped(events, database.dialect, window))]
    assert sorted(hourly, key=repr) == database.run(mapped(events, database.dialect))


@pytest.mark.parametrize(
    "dialect",
    [
        "redshift",
        "snowflake",
        "postgres",
        "duckdb",
        "sqlite",
        "mysql",
        "bigquery",
        "mssql",
        "trino",
        "athena",
    ],
)
def test_the_statement_parses_everywhere(dialect: str) -> None:
    sqlglot = pytest.importorskip("sqlglot")
    # BigQuery is the only one that does not double a quote.
    kind = "click" if dialect == "bigquery" else "it's"
    events = Events(
        types={kind: 0.5, "view": None},
        session_minutes=15,
        max_per_user_and_hour=5,
        exclude_users="shop/staff.sql",
    )
    target = dialect_named(dialect)
    # The program's own query is in its warehouse's dialect, and so without the double quotes of this one.
    query = mapped(events, target, QUERY.replace('"Page Name"', target.quoted("Page Name")))
    (tree,) = sqlglot.parse(query, dialect={"mssql": "tsql"}.get(dialect, dialect))
    assert tree.named_selects == COLUMNS
    assert not list(tree.find_all(sqlglot.exp.Command, sqlglot.exp.Anonymous))


def test_columns_that_a_query_lacks_are_added_empty() -> None:
    query = ReturnedQuery("q.sql", "SELECT 1 AS a, 'x' AS b", ["a", "b"])
    assert with_empty_columns(query, ["B"]) is query
    both = with_empty_columns(query, ["B", "C"])
    assert both.columns == ["a", "b", "C"]
    assert duckdb.sql(both.query).fetchall() == [(1, "x", None)]


def test_names_are_found_in_any_case_and_kept() -> None:
    upper = [column.upper() for column in COLUMNS]
    query = map_events(returned(columns=upper), Events(types={"view": 1.0}), exported=EXPORTED)
    for column in ("USER_ID", "PAGE NAME"):
        assert f'"{column}" AS "{column}"' in query
    assert 'END AS "EVENT_VALUE"' in query


@pytest.mark.parametrize(
    ("events", "columns", "missing"),
    [
        (Events(session_minutes=5), ["user", "item_id", "timestamp"], "USER_ID"),
        (Events(types={"view": None}), COLUMNS[:3], "EVENT_TYPE"),
        (Events(types={"view": None, "buy": 1.0}), COLUMNS[:4], "EVENT_VALUE"),
    ],
)
def test_a_missing_column_is_named(events: Events, columns: list[str], missing: str) -> None:
    with pytest.raises(
        FatalError, match=rf"shop/interactions\.sql does not return the column\(s\) {missing}"
    ):
        map_events(returned(columns=columns), events, exported=EXPORTED)


def test_the_query_of_staff_must_return_user_id_and_must_be_given() -> None:
    events = Events(exclude_users="shop/staff.sql")
    with pytest.raises(FatalError, match=r"shop/staff\.sql does not return the column\(s\) USER_ID"):
        map_events(
            returned(),
            events,
            exported=EXPORTED,
            excluded=ReturnedQuery("shop/staff.sql", STAFF, ["id"]),
        )
    with pytest.raises(ValueError, match="belong together"):
        map_events(returned(), events, exported=EXPORTED)


@pytest.mark.parametrize(
    ("given_events", "field"),
    [
        ({"types": {"view": float("nan")}}, "types.view"),
        ({"types": {"view": True}}, "types.view"),
        ({"types": {"a\\b": 1.0}}, "types"),
        ({"types": {"": 1.0}}, "types"),
        ({"types": {f"t{n}": None for n in range(11)}}, "types"),
        ({"session_minutes": 7}, "session_minutes"),
        ({"session_minutes": 120}, "session_minutes"),
        ({"max_per_user_and_hour": 0}, "max_per_user_and_hour"),
        ({"exclude_users": "../staff.sql"}, "exclude_users"),
        ({"exclude_users": "/etc/passwd"}, "exclude_users"),
        ({"exclude_users": ""}, "exclude_users"),
        ({"typs": {}}, "typs"),
    ],
)
def test_what_cannot_be_meant_is_refused(given_events: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Events.model_validate(given_events)
    location = ".".join(str(part) for part in caught.value.errors()[0]["loc"])
    assert location.startswith(field)


def schema(*fields: str) -> AvroSchema:
    text = (
        '{"type": "record", "name": "Interactions", "namespace": "com.amazonaws.personalize.schema", '
        '"version": "1.0", "fields": [{"name": "USER_ID", "type": "string"}, {"name": "ITEM_ID", "type": "string"}, '
        '{"name": "TIMESTAMP", "type": "long"}' + "".join(f", {field}" for field in fields) + "]}"
    )
    return AvroSchema.parse(text, DatasetType.INTERACTIONS)


def test_the_schema_must_have_room_for_values_and_types() -> None:
    value = '{"name": "EVENT_VALUE", "type": ["null", "float"]}'
    metadata = [f'{{"name": "M{n}", "type": "int"}}' for n in range(5)]
    weighted = Events(types={f"t{n}": 1.0 for n in range(5)})

    assert list(event_problems(weighted, schema(value, *metadata))) == []
    assert list(event_problems(Events(types={"view": None}), schema())) == []
    (problem,) = event_problems(weighted, schema())
    assert "the schema has no EVENT_VALUE" in problem.text
    (problem,) = event_problems(Events(types={f"t{n}": None for n in range(6)}), schema(*metadata))
    assert "6 types and the schema has 5 metadata fields" in problem.text


def test_events_know_what_they_do() -> None:
    assert Events().change_nothing
    assert Events().export("anything")
    events = Events(types={"buy": 1.0, "view": None})
    assert (events.export("view"), events.export("click"), events.weights) == (True, False, {"buy": 1.0})
    assert not Events(session_minutes=5).change_nothing


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
