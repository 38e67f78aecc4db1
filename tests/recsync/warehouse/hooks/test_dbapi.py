from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from recsync.errors import FatalError, RetriableError
from recsync.warehouse.hooks import warehouse
from recsync.warehouse.hooks.csv_cells import csv_blocks
from recsync.warehouse.hooks.dbapi import DbApiWarehouse

COLUMNS = ["A", "B"]


def write(*row: Any) -> bytes:
    return b"".join(csv_blocks([[row]], COLUMNS, name="shop/users.sql"))


def test_values_are_written_as_people_write_them() -> None:
    assert write(1, 2.5) == b"1,2.5\n"
    assert write(Decimal("1E+3"), Decimal("0.10")) == b"1000,0.10\n"
    assert write(True, None) == b"True,\n"
    assert write(1e22, uuid.UUID(int=1)) == b"1e+22,00000000-0000-0000-0000-000000000001\n"


@pytest.mark.parametrize("value", [dt.datetime(2026, 1, 1), dt.date(2026, 1, 1), dt.time(1), dt.timedelta(1)])
def test_times_are_not_guessed_at(value: Any) -> None:
    with pytest.raises(
        FatalError, match=r"shop/users.sql: column B holds times .*\{\{ epoch\('column'\) \}\}"
    ):
        write("u1", value)


def test_a_list_is_joined_as_several_categories_are() -> None:
    assert write(["Action", "Sci, Fi"], [1, 2]) == b'"Action|Sci, Fi",1|2\n'


@pytest.mark.parametrize("value", [b"bytes", [["a"]], {"a": 1}])
def test_what_is_no_text_and_no_number_is_named(value: Any) -> None:
    with pytest.raises(FatalError, match=r"column A holds values of type .*; cast it to text"):
        write(value, 1)


def test_a_text_that_is_no_unicode_is_fatal() -> None:
    with pytest.raises(FatalError, match="no Unicode"):
        write("\ud800", 1)


def test_a_type_without_provider_says_what_to_install(connect: Any) -> None:
    connect(conn_type="trino", host="127.0.0.1")
    with pytest.raises(FatalError, match=r"type trino, .*: install its provider"):
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
