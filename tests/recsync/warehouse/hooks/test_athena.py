"""Athena: its API as AWS documents it, its files on moto's S3; DuckDB runs the SQL."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engines import AthenaApi

from recsync.errors import FatalError, RetriableError
from recsync.warehouse.column_types import Kind
from recsync.warehouse.hooks import warehouse
from recsync.warehouse.hooks.athena import AthenaWarehouse
from recsync.warehouse.hooks.unload import Unload

BUCKET = "staging"
URI = f"s3://{BUCKET}/shop/hour.unload/"
READS = f"s3://{BUCKET}/shop/reads/"
NUMBERS = (
    "SELECT n AS user_id, n * 0.5 AS price, ARRAY['a', 'b'] AS tags FROM UNNEST(SEQUENCE(1, 20)) AS t(n)"
)


@pytest.fixture
def athena(aws_json_server: Any, s3: Any, monkeypatch: pytest.MonkeyPatch) -> AthenaApi:
    urls = {"s3": s3.meta.endpoint_url, "athena": aws_json_server.url}
    services = {name: {"endpoint_url": url} for name, url in urls.items()}
    fields = {"conn_type": "aws", "login": "test", "password": "test"}
    extra = {"region_name": "us-east-1", "service_config": services}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({**fields, "extra": extra}))
    return AthenaApi(aws_json_server, s3)


@pytest.fixture
def source(athena: AthenaApi, connect: Any) -> AthenaWarehouse:
    connect(
        conn_type="athena", schema="shop", extra={"work_group": "recsync", "statement_timeout_seconds": 60}
    )
    found = warehouse("warehouse", staging_uri=READS)
    assert isinstance(found, AthenaWarehouse)
    return found


def rows_of(source: AthenaWarehouse, query: str, columns: list[str], **options: Any) -> list[tuple[Any, ...]]:
    with source.read(query, columns, name="x", **options) as rows:
        return [tuple(row.values()) for batch in rows.batches for row in batch.to_pylist()]


def test_rows_are_unloaded_as_parquet_in_several_files(
    source: AthenaWarehouse, athena: AthenaApi, aws_json_server: Any, staged: Any
) -> None:
    found = rows_of(source, NUMBERS, ["USER_ID", "PRICE", "TAGS"], ids=["USER_ID"])
    assert [found[0][0], *map(json.loads, found[0][1:])] == ["1", 0.5, ["a", "b"]]
    assert sorted(int(user) for user, *_ in found) == list(range(1, 21))
    started = aws_json_server.requests("StartQueryExecution")[-1]
    assert started["QueryString"].startswith("UNLOAD (\nSELECT CAST(")
    assert (started["WorkGroup"], started["QueryExecutionContext"]) == ("recsync", {"Database": "shop"})
    # GetQueryResults only tells the types, of queries without rows.
    asked = [body["QueryExecutionId"] for body in aws_json_server.requests("GetQueryResults")]
    assert [athena.tables[query].num_rows for query in asked] == [0]
    assert staged() == []


def test_the_order_of_a_query_is_kept_by_its_result_file(source: AthenaWarehouse, athena: AthenaApi) -> None:
    query = "SELECT 'x' AS other, n AS item_id FROM UNNEST(SEQUENCE(1, 20)) AS t(n) ORDER BY n DESC"
    found = rows_of(source, query, ["ITEM_ID"], ids=["ITEM_ID"], in_order=True)
    assert [item for (item,) in found] == [str(n) for n in range(20, 0, -1)]
    assert athena.statements[-1] == query


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize("in_order", [True, False])
def test_no_rows_are_no_batches(
    source: AthenaWarehouse, athena: AthenaApi, staged: Any, in_order: bool, manifest: bool
) -> None:
    athena.manifest_without_rows = manifest
    query = "SELECT 1 AS user_id WHERE 1 = 0"
    assert rows_of(source, query, ["user_id"], in_order=in_order) == []
    assert staged() == []


@pytest.mark.parametrize("ordered", [True, False])
def test_an_export_is_csv_to_the_letter(
    source: AthenaWarehouse, read_all: Any, parse: Any, staged: Any, ordered: bool
) -> None:
    values = ["plain", "", None, 'a"b', "a,b", "line\nbreak", "back\\slash", "ünï 漢", "it's"]
    literals = ["CAST(NULL AS VARCHAR)" if v is None else source.dialect.literal(v) for v in values]
    rows = ", ".join(f"({number}, {literal})" for number, literal in enumerate(literals))
    query = f"SELECT n, v FROM (VALUES {rows}) AS t(n, v) ORDER BY n"
    unload = source.start_unload(query, uri=URI, name="x", ordered=ordered)
    again = Unload.from_dict(json.loads(json.dumps(unload.to_dict())))
    with source.open_unloaded(again, name="x") as stream:
        data = read_all(stream)
    assert parse(data) == [[str(number), value] for number, value in enumerate(values)]
    assert staged() == []


def test_types_are_those_that_athena_tells(source: AthenaWarehouse, staged: Any) -> None:
    query = "SELECT 'a' AS t, CAST(1 AS BIGINT) AS i, CAST(1.5 AS DECIMAL(9, 2)) AS d, 1 = 1 AS b, ARRAY['x'] AS a"
    columns = source.columns(query, name="x")
    assert [column.kind for column in columns] == [
        Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN, Kind.ARRAY,
    ]  # fmt: skip
    assert columns[2].scale == 2
    assert staged() == []


@pytest.mark.parametrize("lost", [True, False])
def test_a_file_more_or_less_is_not_the_whole(
    source: AthenaWarehouse, s3: Any, staged: Any, lost: bool
) -> None:
    unload = source.start_unload(NUMBERS, uri=URI, name="x", ordered=False)
    (*_, key) = [key for key in staged() if "/rows/" in key]
    if lost:
        s3.delete_object(Bucket=BUCKET, Key=key)
    else:
        s3.put_object(Bucket=BUCKET, Key=f"{key}.more", Body=b"x")
    with (
        pytest.raises(RetriableError, match=r"unloaded 3 files for x, but [24] are"),
        source.open_unloaded(unload, name="x"),
    ):
        pass
    assert staged() == []


def test_a_work_group_with_a_location_of_its_own_is_refused(
    source: AthenaWarehouse, athena: AthenaApi
) -> None:
    athena.location = f"s3://{BUCKET}/theirs/"
    unload = source.start_unload("SELECT 1 AS a", uri=URI, name="x")
    with (
        pytest.raises(FatalError, match="does not override client-side settings"),
        source.open_unloaded(unload, name="x"),
    ):
        pass
    source.clear(athena.location)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ({"State": "FAILED", "AthenaError": {"ErrorCategory": 1, "ErrorMessage": "its words"}}, RetriableError),
        ({"State": "FAILED", "AthenaError": {"Retryable": True, "ErrorMessage": "its words"}}, RetriableError),
        ({"State": "FAILED", "StateChangeReason": "its words"}, FatalError),
        ({"State": "CANCELLED", "StateChangeReason": "its words"}, RetriableError),
    ],
)  # fmt: skip
def test_the_words_of_the_warehouse_reach_the_person(
    source: AthenaWarehouse, athena: AthenaApi, status: dict[str, Any], error: type[Exception]
) -> None:
    athena.failure = status
    with pytest.raises(error, match=r"x: .*its words"):
        source.columns("SELECT 1 AS a", name="x")


def test_a_wrong_query_is_fatal_and_one_that_worked_before_is_not(
    source: AthenaWarehouse, athena: AthenaApi
) -> None:
    with pytest.raises(
        FatalError, match=r"refused shop/items.sql: SYNTAX_ERROR.*Correct include/sql/shop/items"
    ):
        source.columns("SELECT nothing FROM nowhere", name="shop/items.sql")
    source.columns("SELECT 1 AS a", name="x")
    athena.failure = {
        "State": "FAILED",
        "StateChangeReason": "TABLE_NOT_FOUND: line 1:15: Table does not exist",
    }
    with pytest.raises(RetriableError, match="TABLE_NOT_FOUND"):
        source.columns("SELECT 1 AS a", name="x")


def test_a_query_that_does_not_end_is_stopped(connect: Any, athena: AthenaApi, aws_json_server: Any) -> None:
    connect(conn_type="athena", extra={"statement_timeout_seconds": 0.3})
    source = warehouse("warehouse", staging_uri=READS)
    athena.failure = {"State": "RUNNING"}
    with pytest.raises(RetriableError, match=r"not ended after 0\.3 seconds and was cancelled"):
        source.columns("SELECT 1 AS a", name="x")
    assert len(aws_json_server.requests("StopQueryExecution")) == 1


@pytest.mark.parametrize(
    ("code", "error"), [("TooManyRequestsException", RetriableError), ("InvalidRequestException", FatalError)]
)
def test_a_refusal_of_the_api(
    source: AthenaWarehouse, aws_json_server: Any, code: str, error: type[Exception]
) -> None:
    aws_json_server.on("StartQueryExecution", aws_json_server.refusal(code, "its own words"))
    with pytest.raises(error, match=r"shop/users.sql: .*its own words"):
        source.columns("SELECT 1", name="shop/users.sql")
