from __future__ import annotations

from typing import Any

import psycopg
import pytest

from recsync.errors import FatalError, RetriableError
from recsync.warehouse.hooks import warehouse
from recsync.warehouse.hooks.dbapi import DbApiWarehouse


def test_a_type_without_provider_says_what_to_install(connect: Any) -> None:
    connect(conn_type="mssql", host="127.0.0.1")
    with pytest.raises(FatalError, match=r"type mssql, .*: install its provider"):
        warehouse("warehouse").columns("SELECT 1", name="x")


def test_what_is_no_database_is_refused(connect: Any) -> None:
    connect(conn_type="http", host="127.0.0.1")
    with pytest.raises(FatalError, match="type http, which is no database"):
        warehouse("warehouse").columns("SELECT 1", name="x")


def test_rows_stay_on_the_server_until_they_are_read(
    connect: Any, postgres: psycopg.Connection[Any], postgres_fields: dict[str, Any]
) -> None:
    source = DbApiWarehouse(connect(**postgres_fields))
    # Whoever fetched all of it at once would not come back.
    with source.open_csv("SELECT generate_series(1, 2000000000) AS i", name="x") as stream:
        assert stream.read(4) == b"1\n2\n"


def test_a_lost_connection_is_no_end(
    connect: Any, postgres: psycopg.Connection[Any], postgres_fields: dict[str, Any], read_until_error: Any
) -> None:
    source = DbApiWarehouse(connect(**postgres_fields))
    with source.open_csv("SELECT generate_series(1, 2000000000) AS i", name="x") as stream:
        assert stream.read(4)
        others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        with pytest.raises(RetriableError, match="failed on x"):
            read_until_error(stream)
