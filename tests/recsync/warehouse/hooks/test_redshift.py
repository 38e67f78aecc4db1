"""Redshift: its Data API by moto, and scripted where moto always says STARTED; its files as it writes them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.redshiftdata.models import redshiftdata_backends
from moto.s3.models import s3_backends

from recsync.errors import FatalError, RetriableError
from recsync.warehouse.column_types import Kind
from recsync.warehouse.hooks import UnloadingWarehouse, warehouse
from recsync.warehouse.hooks.unload import Unload

BUCKET = "staging"
URI = f"s3://{BUCKET}/shop/hour.unload/"
FIELDS = {
    "conn_type": "redshift",
    "schema": "shop",
    "extra": {
        "cluster_identifier": "c1",
        "db_user": "reader",
        "iam_role": "arn:aws:iam::000000000000:role/unload",
    },
}
STATEMENT_ID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def source(connect: Any) -> UnloadingWarehouse:
    connect(**FIELDS)
    found = warehouse("warehouse")
    assert isinstance(found, UnloadingWarehouse)
    return found


@pytest.fixture
def data_api(aws_json_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The scripted server as the Data API, behind an AWS connection that has nothing to do with the bucket's."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", aws_json_server.connection("redshift-data"))
    return aws_json_server.on("ExecuteStatement", {"Id": STATEMENT_ID}).on(
        "CancelStatement", {"Status": True}
    )


def statements() -> dict[str, Any]:
    found: dict[str, Any] = redshiftdata_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].statements
    return found


def write_parts(s3: Any, unload: Unload, parts: list[bytes], *, missing_bytes: int = 0) -> None:
    """Write what UNLOAD with MANIFEST VERBOSE writes."""
    prefix = unload.uri.removeprefix(f"s3://{BUCKET}/")
    entries = []
    for number, part in reversed(list(enumerate(parts))):
        key = f"{prefix}{number:04d}_part_00"
        s3.put_object(Bucket=BUCKET, Key=key, Body=part)
        meta = {"content_length": len(part) + missing_bytes, "record_count": part.count(b"\n")}
        entries.append({"url": f"s3://{BUCKET}/{key}", "meta": meta})
    # Not in the manifest: no part of it.
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}9999_part_00", Body=b"stray\n")
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}manifest", Body=json.dumps({"entries": entries}).encode())


def test_an_unload_is_started_waited_for_and_streamed(
    source: UnloadingWarehouse, s3: Any, staged: Any, read_all: Any
) -> None:
    s3.put_object(Bucket=BUCKET, Key="shop/hour.csv", Body=b"not staged")
    unload = source.start_unload("SELECT 'it''s'", uri=URI, name="shop/interactions.sql")
    statement = statements()[unload.statement_id]
    assert (statement.cluster_identifier, statement.database, statement.db_user) == ("c1", "shop", "reader")
    assert statement.query_string.startswith(
        "UNLOAD ($$\nSELECT 'it''s'\n$$)\nTO 's3://staging/shop/hour.unload/"
    )
    assert "IAM_ROLE 'arn:aws:iam::000000000000:role/unload'" in statement.query_string
    assert staged() == ["shop/hour.csv"]

    write_parts(s3, unload, [b'u1,"a\nb",1\n', b"u2,,2\n", b"", b'u3,"",3\n'])
    statement.status = "FINISHED"
    again = Unload.from_dict(json.loads(json.dumps(unload.to_dict())))
    assert again == unload
    with source.open_unloaded(again, name="shop/interactions.sql") as stream:
        assert read_all(stream) == b'u1,"a\nb",1\nu2,,2\nu3,"",3\n'
    assert staged() == ["shop/hour.csv"]
    s3.delete_object(Bucket=BUCKET, Key="shop/hour.csv")


def test_a_second_run_of_the_interval_leaves_the_parts_of_the_first(
    source: UnloadingWarehouse, s3: Any, staged: Any, read_all: Any
) -> None:
    first = source.start_unload("SELECT 1", uri=URI, name="x")
    write_parts(s3, first, [b"1\n"])
    second = source.start_unload("SELECT 1", uri=URI, name="x")
    write_parts(s3, second, [b"1\n"])
    for unload in (second, first):
        statements()[unload.statement_id].status = "FINISHED"
        with source.open_unloaded(unload, name="x") as stream:
            assert read_all(stream) == b"1\n"
    assert staged() == []


def test_parts_that_a_dead_run_left_are_deleted_after_a_day(
    source: UnloadingWarehouse, s3: Any, staged: Any
) -> None:
    objects = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET].keys
    for name, hours in (("old", 25), ("young", 23)):
        key = f"shop/hour.unload/{name}/0000_part_00"
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"of a dead run")
        objects[key].last_modified -= timedelta(hours=hours)
    source.start_unload("SELECT 1", uri=URI, name="x")
    assert staged() == ["shop/hour.unload/young/0000_part_00"]
    s3.delete_object(Bucket=BUCKET, Key="shop/hour.unload/young/0000_part_00")


def test_a_part_that_is_not_whole_is_no_end(
    source: UnloadingWarehouse, s3: Any, staged: Any, read_all: Any
) -> None:
    unload = source.start_unload("SELECT 1", uri=URI, name="x")
    write_parts(s3, unload, [b"1\n", b"2\n"], missing_bytes=1)
    statements()[unload.statement_id].status = "FINISHED"
    with (
        pytest.raises(RetriableError, match="holds 2 bytes of 3"),
        source.open_unloaded(unload, name="x") as stream,
    ):
        read_all(stream)
    assert staged() == []


@pytest.mark.parametrize("rows_told", [0, -1])
def test_no_rows_are_no_manifest_and_no_bytes(
    source: UnloadingWarehouse, s3: Any, staged: Any, read_all: Any, rows_told: int
) -> None:
    unload = source.start_unload("SELECT 1 WHERE 1 = 0", uri=URI, name="x")
    statement = statements()[unload.statement_id]
    statement.status, statement.result_rows = "FINISHED", rows_told
    with source.open_unloaded(unload, name="x") as stream:
        assert read_all(stream) == b""


@pytest.mark.parametrize("part", [None, b"1\n"])
def test_rows_without_a_manifest_are_not_taken_for_none(
    source: UnloadingWarehouse, s3: Any, part: bytes | None
) -> None:
    unload = source.start_unload("SELECT 1", uri=URI, name="x")
    statement = statements()[unload.statement_id]
    statement.status, statement.result_rows = "FINISHED", -1 if part else 3
    if part:
        s3.put_object(
            Bucket=BUCKET, Key=f"{unload.uri.removeprefix(f's3://{BUCKET}/')}0000_part_00", Body=part
        )
    with pytest.raises(RetriableError, match="manifest is not there"), source.open_unloaded(unload, name="x"):
        pass


def test_an_unload_is_cancelled(source: UnloadingWarehouse, moto_url: str) -> None:
    unload = source.start_unload("SELECT 1", uri=URI, name="x")
    source.cancel(unload)
    assert statements()[unload.statement_id].status == "ABORTED"
    source.cancel(unload)  # as good as done
    with pytest.raises(RetriableError, match="statement ABORTED"), source.open_unloaded(unload, name="x"):
        pass


def test_a_statement_that_does_not_end_is_cancelled(connect: Any, moto_url: str) -> None:
    connect(**{**FIELDS, "extra": {**FIELDS["extra"], "statement_timeout_seconds": 0.3}})
    source = warehouse("warehouse")
    assert isinstance(source, UnloadingWarehouse)
    unload = source.start_unload("SELECT 1", uri=URI, name="x")
    with (
        pytest.raises(RetriableError, match=r"not ended after 0\.3 seconds and was cancelled"),
        source.open_unloaded(unload, name="x"),
    ):
        pass
    assert statements()[unload.statement_id].status == "ABORTED"


def test_whoever_stops_waiting_cancels(
    source: UnloadingWarehouse, moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unload = source.start_unload("SELECT 1", uri=URI, name="x")

    def killed(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", killed)
    with pytest.raises(KeyboardInterrupt), source.open_unloaded(unload, name="x"):
        pass
    assert statements()[unload.statement_id].status == "ABORTED"


@pytest.mark.parametrize(
    ("status", "text", "error", "words"),
    [
        (
            "FAILED",
            "ERROR: permission denied for relation sales",
            FatalError,
            "refused x: ERROR: permission denied",
        ),
        ("FAILED", "ERROR: S3ServiceException:Access Denied", FatalError, "iam_role s3:PutObject"),
        ("FAILED", "ERROR: Disk Full", RetriableError, "Disk Full"),
        ("ABORTED", "Query canceled", RetriableError, "Query canceled"),
    ],
)
def test_the_words_of_the_warehouse_reach_the_person(
    source: UnloadingWarehouse, data_api: Any, status: str, text: str, error: type[Exception], words: str
) -> None:
    running = {"Id": STATEMENT_ID, "Status": "STARTED"}
    data_api.on("DescribeStatement", running, {"Id": STATEMENT_ID, "Status": status, "Error": text})
    with pytest.raises(error, match=words):
        source.columns("SELECT 1", name="x")
    assert len(data_api.requests("DescribeStatement")) == 2


def test_a_table_that_vanished_may_come_back(source: UnloadingWarehouse, data_api: Any) -> None:
    finished = {"Id": STATEMENT_ID, "Status": "FINISHED"}
    data_api.on("DescribeStatement", finished)
    data_api.on("GetStatementResult", {"ColumnMetadata": [{"name": "id", "label": "user_id"}], "Records": []})
    assert [column.name for column in source.columns("SELECT 1", name="x")] == ["user_id"]
    failed = {"Id": STATEMENT_ID, "Status": "FAILED", "Error": 'ERROR: relation "sales" does not exist'}
    data_api.on("DescribeStatement", failed)
    with pytest.raises(RetriableError, match="sales"):
        source.columns("SELECT 2", name="x")
    with pytest.raises(FatalError, match="sales"):
        source.columns("SELECT 1", name="y")


def test_rows_are_unloaded_as_an_export_is(
    connect: Any, s3: Any, staged: Any, aws_json_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audience and catalogue come by UNLOAD too; the Data API only tells the types."""
    services = {"s3": s3.meta.endpoint_url, "redshift-data": aws_json_server.url}
    extra = {
        "region_name": "us-east-1",
        "service_config": {k: {"endpoint_url": u} for k, u in services.items()},
    }
    fields = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(fields))
    connect(**FIELDS)
    columns = [
        {"name": "user_id", "typeName": "varchar"},
        {"name": "price", "typeName": "numeric", "scale": 2},
        {"name": "sure", "typeName": "bool"},
    ]

    def execute(body: dict[str, Any]) -> dict[str, Any]:
        if found := re.search(rf"TO 's3://{BUCKET}/([^']+)'", body["Sql"]):
            write_parts(s3, Unload(f"s3://{BUCKET}/{found[1]}"), [b'"u1",1.90,t\n"",,\n'])
        return {"Id": STATEMENT_ID}

    aws_json_server.on("ExecuteStatement", execute)
    aws_json_server.on("DescribeStatement", {"Id": STATEMENT_ID, "Status": "FINISHED", "ResultRows": 2})
    aws_json_server.on("GetStatementResult", {"ColumnMetadata": columns, "Records": []})
    source = warehouse("warehouse", staging_uri=f"s3://{BUCKET}/shop/reads/")
    with source.read("SELECT 1", ["USER_ID", "PRICE", "SURE"], name="x", ids=["USER_ID"]) as rows:
        read = [row for batch in rows.batches for row in batch.to_pylist()]
    assert [column.kind for column in rows.columns.values()] == [Kind.TEXT, Kind.DECIMAL, Kind.BOOLEAN]
    assert read == [
        {"USER_ID": "u1", "PRICE": "1.90", "SURE": "t"},
        {"USER_ID": "", "PRICE": None, "SURE": None},
    ]
    assert staged() == []


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ActiveStatementsExceededException", RetriableError),
        ("ValidationException", FatalError),
        ("AccessDeniedException", FatalError),
    ],
)
def test_a_refusal_of_the_data_api(
    source: UnloadingWarehouse, data_api: Any, code: str, error: type[Exception]
) -> None:
    data_api.on("ExecuteStatement", data_api.refusal(code, "its own words"))
    with pytest.raises(error, match=r"shop/users.sql: .*its own words"):
        source.columns("SELECT 1", name="shop/users.sql")


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"cluster_identifier": "c1"}, "lacks iam_role"),
        ({"iam_role": "default"}, "either cluster_identifier or workgroup_name"),
        (
            {"iam_role": "default", "cluster_identifier": "c", "workgroup_name": "w"},
            "either cluster_identifier",
        ),
    ],
)
def test_what_the_connection_lacks_is_named(
    connect: Any, moto_url: str, extra: dict[str, Any], complaint: str
) -> None:
    connect(conn_type="redshift", extra=extra)
    source = warehouse("warehouse")
    assert isinstance(source, UnloadingWarehouse)
    with pytest.raises(FatalError, match=complaint):
        source.start_unload("SELECT 1", uri=URI, name="x")


def test_without_a_bucket_to_unload_to_it_says_what_to_set(source: UnloadingWarehouse, data_api: Any) -> None:
    data_api.on("DescribeStatement", {"Id": STATEMENT_ID, "Status": "FINISHED"})
    data_api.on("GetStatementResult", {"ColumnMetadata": [{"name": "a"}], "Records": []})
    with (
        pytest.raises(FatalError, match="AIRFLOW__RECSYNC__BUCKET"),
        source.read("SELECT 1 AS a", ["a"], name="x"),
    ):
        pass


def test_a_workgroup_is_asked_without_a_user(connect: Any, data_api: Any) -> None:
    connect(conn_type="redshift", login="ignored", extra={"workgroup_name": "shop", "region": "us-west-2"})
    data_api.on("DescribeStatement", {"Id": STATEMENT_ID, "Status": "FINISHED"})
    data_api.on("GetStatementResult", {"ColumnMetadata": [{"name": "a"}], "Records": []})
    (column,) = warehouse("warehouse").columns("SELECT 1 AS a", name="shop/users.sql")
    assert column.name == "a"
    (request,) = data_api.requests("ExecuteStatement")
    assert request["WorkgroupName"] == "shop"
    assert request["StatementName"] == "recsync shop/users.sql"
    assert not {"ClusterIdentifier", "DbUser"} & set(request)
