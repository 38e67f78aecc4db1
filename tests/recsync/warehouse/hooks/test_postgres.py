from __future__ import annotations

import socket
import time
from typing import Any

import psycopg
import pytest

from recsync.errors import FatalError, RetriableError
from recsync.warehouse.event_mapping import select_columns
from recsync.warehouse.hooks import Warehouse, warehouse
from recsync.warehouse.hooks.postgres import libpq_parameters

OURS = "FROM pg_stat_activity WHERE application_name = 'recsync'"
# A series in the FROM clause would be made as a whole before its first row.
ENDLESS = "SELECT generate_series(1, 1000000000) AS i, repeat('x', 100)"


@pytest.fixture
def source(connect: Any, postgres: psycopg.Connection[Any], postgres_fields: dict[str, Any]) -> Warehouse:
    connect(**postgres_fields)
    return warehouse("warehouse")


@pytest.fixture(params=["open_csv", "open_large_csv"])
def opened(request: pytest.FixtureRequest) -> str:
    """Name of the method: in a thread, or in a process of its own."""
    return str(request.param)


def wait_until_nobody_reads(postgres: psycopg.Connection[Any]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if postgres.execute(f"SELECT count(*) {OURS}").fetchone() == (0,):
            return True
        time.sleep(0.02)
    return False


def test_an_error_at_a_late_row_comes_after_the_good_ones(
    source: Warehouse, opened: str, read_until_error: Any
) -> None:
    late = "SELECT i, 1 / (400000 - i) FROM generate_series(1, 500000) AS i"
    with getattr(source, opened)(late, name="x") as stream:
        assert len(stream.read(3_000_000)) == 3_000_000
        with pytest.raises(FatalError, match=r"division by zero.*SQLSTATE 22012"):
            read_until_error(stream)


def test_a_lost_connection_is_no_end(
    source: Warehouse, opened: str, postgres: psycopg.Connection[Any], read_until_error: Any
) -> None:
    with getattr(source, opened)(ENDLESS, name="x") as stream:
        assert stream.read(1000)
        postgres.execute(f"SELECT pg_terminate_backend(pid) {OURS}")
        with pytest.raises(RetriableError, match=r"\(warehouse\) failed on x"):
            read_until_error(stream)


def test_a_query_that_does_not_end_is_cancelled(
    connect: Any, opened: str, postgres: psycopg.Connection[Any], postgres_fields: dict[str, Any]
) -> None:
    connect(**postgres_fields, extra={"statement_timeout_seconds": 0.2})
    with (
        pytest.raises(RetriableError, match="statement timeout"),
        getattr(warehouse("warehouse"), opened)("SELECT pg_sleep(600)", name="x") as stream,
    ):
        stream.read(1)


@pytest.mark.parametrize(("extra", "limit"), [({}, "4h"), ({"options": "-c statement_timeout=7min"}, "7min")])
def test_a_limit_that_is_set_already_is_kept(
    connect: Any,
    postgres: psycopg.Connection[Any],
    postgres_fields: dict[str, Any],
    extra: dict[str, Any],
    limit: str,
) -> None:
    connect(**postgres_fields, extra=extra)
    query = "SELECT current_setting('statement_timeout') AS limit"
    with warehouse("warehouse").read(query, ["limit"], name="x") as rows:
        assert [batch["limit"].to_pylist() for batch in rows.batches] == [[limit]]


@pytest.mark.parametrize("value", ["soon", 0, -1, None])
def test_a_limit_that_is_no_number_is_named(
    connect: Any, postgres_fields: dict[str, Any], value: Any
) -> None:
    connect(**postgres_fields, extra={"statement_timeout_seconds": value})
    with pytest.raises(FatalError, match="statement_timeout_seconds in its extra is no number above 0"):
        warehouse("warehouse").columns("SELECT 1 AS one", name="x")


def test_a_server_that_never_answers_ends_the_task(connect: Any, postgres_fields: dict[str, Any]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        connect(**{**postgres_fields, "port": port}, extra={"connect_timeout": 2})
        with pytest.raises(RetriableError, match="timeout expired"):
            warehouse("warehouse").columns("SELECT 1 AS one", name="x")


def test_who_leaves_early_cancels_the_query(
    source: Warehouse, opened: str, postgres: psycopg.Connection[Any]
) -> None:
    with getattr(source, opened)(ENDLESS, name="x") as stream:
        assert stream.read(1000)
        assert postgres.execute(f"SELECT count(*) {OURS} AND state = 'active'").fetchone() == (1,)
    assert wait_until_nobody_reads(postgres)


def test_an_error_of_the_reader_cancels_the_query(
    source: Warehouse, opened: str, postgres: psycopg.Connection[Any]
) -> None:
    def read() -> None:
        with getattr(source, opened)(ENDLESS, name="x") as stream:
            stream.read(1000)
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        read()
    assert wait_until_nobody_reads(postgres)


def test_who_stops_fetching_rows_leaves_no_connection(
    source: Warehouse, postgres: psycopg.Connection[Any]
) -> None:
    with source.read(ENDLESS, ["i"], name="x") as rows:
        assert next(rows.batches)["i"].to_pylist()[0] == "1"
    assert wait_until_nobody_reads(postgres)


def test_a_table_that_vanished_may_come_back(
    source: Warehouse, opened: str, postgres: psycopg.Connection[Any]
) -> None:
    postgres.execute("CREATE TABLE sales (id int)")
    query = "SELECT id FROM sales"
    assert [column.name for column in source.columns(query, name="x")] == ["id"]
    postgres.execute("DROP TABLE sales")
    with (
        pytest.raises(RetriableError, match="it was there a moment ago"),
        getattr(source, opened)(query, name="x") as stream,
    ):
        stream.read(1)


def test_a_missing_permission_is_fatal_and_named(
    connect: Any, postgres: psycopg.Connection[Any], postgres_fields: dict[str, Any]
) -> None:
    postgres.execute("CREATE TABLE secrets (id int)")
    postgres.execute("DROP ROLE IF EXISTS reader")
    postgres.execute("CREATE ROLE reader LOGIN PASSWORD 'pw'")
    connect(**{**postgres_fields, "login": "reader", "password": "pw"})
    with pytest.raises(FatalError, match=r"permission denied for table secrets.*give the connection SELECT"):
        warehouse("warehouse").columns("SELECT * FROM secrets", name="x")


def test_a_value_that_cannot_be_cast_is_no_question_of_permissions(source: Warehouse) -> None:
    with (
        pytest.raises(FatalError) as caught,
        source.open_csv("SELECT CAST('x' AS int) AS n", name="x") as stream,
    ):
        stream.read(1)
    assert str(caught.value).endswith("Correct include/sql/x.")


def test_an_export_only_reads(source: Warehouse, postgres: psycopg.Connection[Any]) -> None:
    postgres.execute("CREATE SEQUENCE IF NOT EXISTS numbers")
    with (
        pytest.raises(FatalError, match="read-only transaction"),
        source.open_csv("SELECT nextval('numbers')", name="x") as s,
    ):
        s.read(1)


def test_the_settings_of_the_role_change_no_byte(
    source: Warehouse, postgres: psycopg.Connection[Any], read_all: Any
) -> None:
    postgres.execute("ALTER ROLE postgres SET TimeZone = 'Asia/Tokyo'")
    postgres.execute("ALTER ROLE postgres SET DateStyle = 'German'")
    try:
        with source.open_csv("SELECT timestamptz '2026-01-02 03:04:05+00'", name="x") as stream:
            assert read_all(stream) == b"2026-01-02 03:04:05+00\n"
    finally:
        postgres.execute("ALTER ROLE postgres RESET ALL")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"password": "wrong"}, FatalError),
        ({"schema": "nowhere"}, FatalError),
        ({"extra": {"sslmode": "sometimes"}}, FatalError),
        ({"extra": {"sslmode": "require"}}, RetriableError),  # the server speaks no TLS
        ({"port": 1}, RetriableError),
    ],
)
def test_a_connection_that_fails_says_what_it_is(
    connect: Any, postgres_fields: dict[str, Any], change: dict[str, Any], error: type[Exception]
) -> None:
    connect(**{**postgres_fields, **change})
    with pytest.raises(error, match="warehouse") as caught:
        warehouse("warehouse").columns("SELECT 1", name="x")
    assert postgres_fields["password"] not in str(caught.value)


def test_the_extra_goes_to_libpq_but_for_what_is_airflows(connect: Any) -> None:
    extra = {"sslmode": "require", "keepalives_idle": 30, "cursor": "dictcursor", "sqlalchemy_query": {}}
    connection = connect(conn_type="postgres", host="db", login="u", password="p", schema="shop", extra=extra)
    parameters = libpq_parameters(connection)
    assert parameters == {
        "host": "db", "user": "u", "password": "p", "dbname": "shop", "sslmode": "require", "keepalives_idle": 30,
        "application_name": "recsync", "client_encoding": "UTF8", "connect_timeout": 30, "keepalives_interval": 10,
        "keepalives_count": 6,
    }  # fmt: skip


def test_redshift_behind_a_connection_of_type_postgres_is_sent_to_the_right_type(connect: Any) -> None:
    connect(conn_type="postgres", host="db", extra={"redshift": True})
    with pytest.raises(FatalError, match="one of type redshift"):
        warehouse("warehouse").columns("SELECT 1", name="x")


def test_texts_are_ordered_by_their_bytes(
    source: Warehouse, postgres: psycopg.Connection[Any], read_all: Any
) -> None:
    # json knows no order of its own.
    postgres.execute("CREATE TABLE words (word text, tags json)")
    postgres.execute("INSERT INTO words VALUES ('b', '{}'), ('B', '[]'), ('a', '2'), ('a', '1'), ('ä', '3')")
    query = select_columns(
        "SELECT * FROM words", {"W": "word", "T": "tags"}, ordered=True, dialect=source.dialect
    )
    with source.open_csv(query, name="x") as stream:
        assert read_all(stream) == "B,[]\na,1\na,2\nb,{}\nä,3\n".encode()
