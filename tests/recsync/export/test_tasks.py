"""The export task, with S3 by moto: DuckDB for real, Redshift's Data API scripted."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
from airflow.sdk.exceptions import TaskDeferred
from moto.server import ThreadedMotoServer

from recsync.errors import FatalError
from recsync.export.tasks import WarehouseToS3Operator

BUCKET = "exports"
KEY = "shop/exports/interactions/2026-11-22T0500Z.csv"
STATEMENT_ID = "11111111-2222-3333-4444-555555555555"
PROGRAM = """
datasets:
  interactions: {}
checks: {enabled: false}
recommendations: {length: 5}
personalize: {num_results: 20}
braze: {attribute: recs, payload: objects, item_fields: [title]}
"""
FIELDS = [("USER_ID", "string"), ("ITEM_ID", "string"), ("TIMESTAMP", "long")]
SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [{"name": name, "type": kind} for name, kind in FIELDS],
    "version": "1.0",
}
SQL = """
SELECT customer AS user_id, product AS item_id, {{ epoch('sold_at') }} AS timestamp FROM sales
WHERE sold_at >= '{{ data_interval_start }}' AND sold_at < '{{ data_interval_end }}'
"""


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{port}"
    boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


@pytest.fixture
def s3(moto: str) -> Any:
    return boto3.client("s3", endpoint_url=moto, region_name="us-east-1")


@pytest.fixture(autouse=True)
def deployment(moto: str, aws_json_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program, its files, and AWS."""
    files = {"programs/shop.yaml": PROGRAM, "schemas/shop/interactions.json": json.dumps(SCHEMA)}
    files |= {
        "sql/shop/interactions.sql": SQL,
        "sql/shop/audience.sql": "SELECT 1",
        "sql/shop/catalogue.sql": "SELECT 1",
    }
    for name, text in files.items():
        path = tmp_path / "include" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(tmp_path / "include"))
    monkeypatch.setenv("AIRFLOW__RECSYNC__BUCKET", BUCKET)
    services = {"s3": {"endpoint_url": moto}, "redshift-data": {"endpoint_url": aws_json_server.url}}
    extra = {"region_name": "us-east-1", "service_config": services}
    aws = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))


def operator(**changes: Any) -> WarehouseToS3Operator:
    return WarehouseToS3Operator(
        task_id="export",
        program="shop",
        dataset_type="INTERACTIONS",
        interval_start="2026-11-22T05:00:00+00:00",
        interval_end="2026-11-22T06:00:00+00:00",
        s3_key=KEY,
        **changes,
    )


def test_the_worker_streams_what_it_can_read_itself(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shop.duckdb"
    with duckdb.connect(str(file)) as warehouse:
        warehouse.execute("CREATE TABLE sales (customer text, product text, sold_at timestamp)")
        warehouse.execute(
            "INSERT INTO sales VALUES ('u2', 'a\"b', '2026-11-22 05:59:59.5'), ('u1', 'i', '2026-11-22 05:00')"
        )
        warehouse.execute("INSERT INTO sales VALUES ('u3', 'i', '2026-11-22 06:00')")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(file)}))
    exported = operator().execute({})
    assert exported["key"] == KEY
    assert exported["rows"] == 2
    body = s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    assert body == b'USER_ID,ITEM_ID,TIMESTAMP\nu1,i,1795323600\nu2,"a\\"b",1795327199\n'


@pytest.fixture
def redshift(aws_json_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    extra = {"cluster_identifier": "c1", "iam_role": "default", "region": "us-west-2"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "redshift", "extra": extra}))
    columns = [{"name": name} for name in ("user_id", "item_id", "timestamp")]
    return (
        aws_json_server.on("ExecuteStatement", {"Id": STATEMENT_ID})
        .on("DescribeStatement", {"Id": STATEMENT_ID, "Status": "FINISHED"})
        .on("GetStatementResult", {"ColumnMetadata": columns, "Records": []})
        .on("CancelStatement", {"Status": True})
    )


def deferred(task: WarehouseToS3Operator) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.execute({})
    return caught.value


def write_parts(s3: Any, uri: str) -> None:
    """Write what UNLOAD writes."""
    part = b'u1,"a""b",1795323600\n'
    s3.put_object(Bucket=BUCKET, Key=f"{uri}0000_part_00".removeprefix(f"s3://{BUCKET}/"), Body=part)
    entry = {"url": f"{uri}0000_part_00", "meta": {"content_length": len(part)}}
    manifest = json.dumps({"entries": [entry]}).encode()
    s3.put_object(Bucket=BUCKET, Key=f"{uri}manifest".removeprefix(f"s3://{BUCKET}/"), Body=manifest)


def test_an_unload_is_waited_for_in_the_triggerer(s3: Any, redshift: Any) -> None:
    waiting = deferred(operator(poll_interval=3))
    path, arguments = waiting.trigger.serialize()
    assert path == "airflow.providers.amazon.aws.triggers.redshift_data.RedshiftDataTrigger"
    assert arguments["statement_id"] == STATEMENT_ID
    assert (arguments["aws_conn_id"], arguments["region_name"]) == ("aws_default", "us-west-2")
    assert (arguments["poll_interval"], arguments["cancel_on_kill"]) == (3, True)
    assert waiting.kwargs is not None
    write_parts(s3, waiting.kwargs["unload"]["uri"])

    event = {"status": "success", "statement_id": STATEMENT_ID}
    # Between the two, what is kept went through the metadata database.
    kept = json.loads(json.dumps(waiting.kwargs))
    exported = getattr(operator(), waiting.method_name)({}, event, **kept)
    assert exported["rows"] == 1
    body = s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    assert body == b'USER_ID,ITEM_ID,TIMESTAMP\nu1,"a\\"b",1795323600\n'
    assert "unload" not in str(s3.list_objects_v2(Bucket=BUCKET)["Contents"])


def test_a_failed_statement_says_why_and_is_not_tried_again(redshift: Any) -> None:
    waiting = deferred(operator())
    failed = {"Id": STATEMENT_ID, "Status": "FAILED", "Error": "ERROR: permission denied for relation sales"}
    redshift.on("DescribeStatement", failed)
    event = {"status": "error", "statement_id": STATEMENT_ID, "message": "a page of JSON"}
    with pytest.raises(FatalError, match=r"refused shop/interactions.sql: ERROR: permission denied"):
        operator().execute_complete({}, event, **(waiting.kwargs or {}))


def test_a_killed_task_cancels_its_statement(redshift: Any) -> None:
    task = operator()
    task.on_kill()
    assert redshift.requests("CancelStatement") == []
    deferred(task)
    task.on_kill()
    assert redshift.requests("CancelStatement") == [{"Id": STATEMENT_ID}]


def test_who_does_not_defer_waits_in_the_worker(s3: Any, redshift: Any) -> None:
    def executed(request: dict[str, Any]) -> dict[str, Any]:
        if request["Sql"].startswith("UNLOAD"):
            write_parts(s3, request["Sql"].split("TO '")[1].split("'")[0])
        return {"Id": STATEMENT_ID}

    redshift.on("ExecuteStatement", executed)
    assert operator(deferrable=False).execute({})["rows"] == 1
