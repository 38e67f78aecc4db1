"""Trino: its provider's hook and its client, against a server that speaks the client protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from engines import TrinoServer

from recsync.errors import FatalError, RetriableError
from recsync.warehouse.column_types import Kind
from recsync.warehouse.hooks import Warehouse, warehouse
from recsync.warehouse.hooks.trino import TrinoWarehouse


@pytest.fixture
def trino() -> Iterator[TrinoServer]:
    server = TrinoServer()
    yield server
    server.close()


@pytest.fixture
def source(trino: TrinoServer, connect: Any) -> Warehouse:
    connect(conn_type="trino", host="127.0.0.1", port=trino.http.port, login="reader", schema="shop")
    found = warehouse("warehouse")
    assert isinstance(found, TrinoWarehouse)
    return found


def rows_of(source: Warehouse, query: str, columns: list[str], **options: Any) -> list[tuple[Any, ...]]:
    with source.read(query, columns, name="x", **options) as rows:
        return [tuple(row.values()) for batch in rows.batches for row in batch.to_pylist()]


def test_pages_are_read_as_one_and_every_value_is_a_text(source: Warehouse) -> None:
    query = "SELECT n AS user_id, n * 0.5 AS price FROM UNNEST(SEQUENCE(1, 20)) AS t(n)"
    found = rows_of(source, query, ["USER_ID", "PRICE"], ids=["USER_ID"])
    assert found[0] == ("1", "0.5")
    assert sorted(int(user) for user, _ in found) == list(range(1, 21))


def test_types_are_those_of_the_server(source: Warehouse) -> None:
    query = (
        "SELECT 'a' AS t, CAST(1 AS BIGINT) AS i, CAST(1.5 AS DECIMAL(9, 2)) AS d, 1 = 1 AS b, ARRAY['x'] AS a,"
        " CAST('2026-11-22 05:00:00' AS TIMESTAMP) AS m"
    )
    kinds = [column.kind for column in source.columns(query, name="x")]
    assert kinds == [Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN, Kind.ARRAY, Kind.MOMENT]


def test_an_export_is_csv(source: Warehouse, read_all: Any) -> None:
    query = "SELECT * FROM (VALUES ('a,b', ''), ('c\"d', CAST(NULL AS VARCHAR))) AS t(x, y)"
    with source.open_csv(query, name="x") as stream:
        assert read_all(stream) == b'"a,b",""\n"c""d",\n'


def test_the_order_of_a_query_is_kept_by_running_it_as_it_is(source: Warehouse, trino: TrinoServer) -> None:
    query = "SELECT n AS item_id FROM UNNEST(SEQUENCE(1, 20)) AS t(n) ORDER BY n DESC"
    found = rows_of(source, query, ["ITEM_ID"], ids=["ITEM_ID"], in_order=True)
    assert [item for (item,) in found] == [str(n) for n in range(20, 0, -1)]
    assert trino.statements[-1] == query


def test_who_leaves_early_cancels_the_query(source: Warehouse, trino: TrinoServer) -> None:
    trino.page_rows = 4_000
    query = "SELECT n FROM UNNEST(SEQUENCE(1, 40000)) AS t(n)"
    with source.read(query, ["n"], name="x") as rows:
        assert next(rows.batches).num_rows == 10_000
    assert trino.cancelled


def test_a_wrong_query_is_fatal_and_named(source: Warehouse) -> None:
    with pytest.raises(
        FatalError, match=r"refused shop/items.sql: SYNTAX_ERROR.*Correct include/sql/shop/items"
    ):
        source.columns("SELECT nothing FROM nowhere", name="shop/items.sql")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("INSUFFICIENT_RESOURCES", "CLUSTER_OUT_OF_MEMORY"), ("INTERNAL_ERROR", "GENERIC_INTERNAL_ERROR"),
     ("EXTERNAL", "HIVE_CANNOT_OPEN_SPLIT")],
)  # fmt: skip
def test_a_failure_of_the_cluster_is_tried_again(
    source: Warehouse, trino: TrinoServer, kind: str, name: str
) -> None:
    trino.failure = {
        "errorType": kind,
        "errorName": name,
        "message": "its words",
        "errorCode": 1,
        "failureInfo": {},
    }
    with pytest.raises(RetriableError, match=f"failed on x: {name}: its words"):
        source.columns("SELECT 1 AS a", name="x")


def test_a_table_that_vanished_may_come_back(source: Warehouse, trino: TrinoServer) -> None:
    source.columns("SELECT 1 AS a", name="x")
    gone = {
        "errorType": "USER_ERROR",
        "errorName": "TABLE_NOT_FOUND",
        "message": "Table 'sales' does not exist",
    }
    trino.failure = {"errorCode": 46, "failureInfo": {}, **gone}
    with pytest.raises(RetriableError, match="TABLE_NOT_FOUND"):
        source.columns("SELECT 1 AS a", name="x")
    with pytest.raises(FatalError, match="TABLE_NOT_FOUND"):
        source.columns("SELECT 1 AS a", name="y")


def test_a_server_that_is_away_is_tried_again(connect: Any) -> None:
    connect(conn_type="trino", host="127.0.0.1", port=1, login="reader")
    with pytest.raises(RetriableError, match="failed on x"):
        warehouse("warehouse").columns("SELECT 1 AS a", name="x")
