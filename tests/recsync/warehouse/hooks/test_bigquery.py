"""BigQuery: Google's own clients, against a server of jobs and of the Storage Read API; DuckDB runs the SQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from engines import BigQueryServer, google_clients

from recsync.errors import FatalError, RetriableError
from recsync.warehouse.column_types import Kind
from recsync.warehouse.hooks import warehouse
from recsync.warehouse.hooks.bigquery import BigQueryWarehouse

NUMBERS = "SELECT n AS user_id, n * 0.5 AS price, ['a', 'b'] AS tags FROM UNNEST(GENERATE_ARRAY(1, 23)) AS n"


@pytest.fixture
def server() -> Iterator[BigQueryServer]:
    found = BigQueryServer()
    yield found
    found.close()


@pytest.fixture
def source(server: BigQueryServer, connect: Any) -> BigQueryWarehouse:
    connection = connect(conn_type="gcpbigquery", extra={"location": "EU"})
    return BigQueryWarehouse(connection, clients=google_clients(server))


def rows_of(
    source: BigQueryWarehouse, query: str, columns: list[str], **options: Any
) -> list[tuple[Any, ...]]:
    with source.read(query, columns, name="x", **options) as rows:
        return [tuple(row.values()) for batch in rows.batches for row in batch.to_pylist()]


def test_rows_come_through_the_storage_api_as_texts(
    source: BigQueryWarehouse, server: BigQueryServer
) -> None:
    found = rows_of(source, NUMBERS, ["USER_ID", "PRICE", "TAGS"], ids=["USER_ID"])
    assert sorted(int(user) for user, *_ in found) == list(range(1, 24))
    assert [json.loads(tags) for *_, tags in found] == [["a", "b"]] * 23
    # Two streams, since nothing says that the order counts.
    assert server.streams == [2]


def test_the_order_of_a_query_is_kept_by_one_stream_of_the_query_as_it_is(
    source: BigQueryWarehouse, server: BigQueryServer
) -> None:
    query = "SELECT n AS item_id FROM UNNEST(GENERATE_ARRAY(1, 23)) AS n ORDER BY n DESC"
    found = rows_of(source, query, ["ITEM_ID"], ids=["ITEM_ID"], in_order=True)
    assert [item for (item,) in found] == [str(n) for n in range(23, 0, -1)]
    assert (server.streams, server.statements[-1]) == ([1], query)


def test_no_rows_are_no_batches(source: BigQueryWarehouse, read_all: Any) -> None:
    query = "SELECT 1 AS user_id FROM UNNEST([1]) WHERE 1 = 0"
    assert rows_of(source, query, ["user_id"]) == []
    with source.open_csv(query, name="x") as stream:
        assert read_all(stream) == b""


def test_an_export_is_csv(source: BigQueryWarehouse, read_all: Any) -> None:
    query = "SELECT 'a,b' AS x, '' AS y, CAST(NULL AS STRING) AS z, 7 AS n"
    with source.open_csv(query, name="x") as stream:
        assert read_all(stream) == b'"a,b","",,7\n'


def test_types_are_those_of_a_dry_run(source: BigQueryWarehouse) -> None:
    query = "SELECT 'a' AS t, 1 AS i, CAST(1.5 AS NUMERIC) AS d, 1 = 1 AS b, ['x'] AS a, 1.5 AS f"
    kinds = [column.kind for column in source.columns(query, name="x")]
    assert kinds[:2] == [Kind.TEXT, Kind.INTEGER]
    assert kinds[3:5] == [Kind.BOOLEAN, Kind.ARRAY]


def test_tables_are_listed_where_the_connection_is(source: BigQueryWarehouse) -> None:
    assert "`region-eu`.INFORMATION_SCHEMA.TABLES" in source.dialect.tables


def test_a_wrong_query_is_fatal_and_named(source: BigQueryWarehouse) -> None:
    with pytest.raises(FatalError, match=r"refused shop/items.sql: .*Correct include/sql/shop/items"):
        source.columns("SELECT nothing FROM nowhere", name="shop/items.sql")


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (403, "accessDenied", FatalError),
        (403, "quotaExceeded", RetriableError),
        (404, "notFound", FatalError),
    ],
)
def test_a_refusal_of_the_service(
    source: BigQueryWarehouse, server: BigQueryServer, code: int, reason: str, error: type[Exception]
) -> None:
    problem = {"reason": reason, "message": "its words"}
    server.failure = code, {"error": {"code": code, "message": "its words", "errors": [problem]}}
    with pytest.raises(error, match=r"x: .*its words"):
        source.columns("SELECT 1 AS a", name="x")


def test_a_table_that_vanished_may_come_back(source: BigQueryWarehouse, server: BigQueryServer) -> None:
    source.columns("SELECT 1 AS a", name="x")
    server.failure = 404, {"error": {"code": 404, "message": "Not found: Table shop.sales", "errors": []}}
    with pytest.raises(RetriableError, match="Not found"):
        source.columns("SELECT 1 AS a", name="x")


def test_without_the_provider_it_says_what_to_install(connect: Any) -> None:
    connect(conn_type="gcpbigquery")
    with pytest.raises(FatalError, match=r"type gcpbigquery, .*: install its provider"):
        warehouse("warehouse").columns("SELECT 1", name="x")
