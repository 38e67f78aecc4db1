"""recsync's own delivery: a published plan, ``recsync.push.deliver`` as the task calls it, its ledger on a local S3.

Inside the clock lies everything the task does: reading the plan from S3, sending, the ledger, the account of every
person and the new last-sent state. The sandbox S3 (moto) runs beside it on the same two cores.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.job import DeliveryJob
from recsync.push.store import Deliveries, LastSent

_PROGRAM = "bench"
_DELIVERY = "20260101T000000-bench"  # begins with its time, as all do
_REGION = "us-east-1"
_BUCKET = "bench"
_KEY = "benchmark"


def prepare(job: DeliveryJob) -> None:
    """Write the plan's files, in a process of its own: its memory is not the delivery's."""
    from recsync.push.plan_format import PARTS, SETTLED, WRITES

    folder = job.state / "plan"
    (folder / "writes").mkdir(parents=True)
    for part in PARTS[:-1]:
        pq.write_table(WRITES.empty_table(), folder / "writes" / f"{part}.parquet")
    with pq.ParquetWriter(folder / "writes" / "rest.parquet", WRITES, compression="zstd") as writer:
        for lines in _chunks(Path(job.options["objects"])):
            writer.write_table(pa.Table.from_pylist([_row(line, job) for line in lines], WRITES))
    pq.write_table(SETTLED.empty_table(), folder / "settled.parquet")
    pq.write_table(pa.table({"item_id": [], "fields": [], "used": []}), folder / "items.parquet")


def deliver(job: DeliveryJob) -> None:
    """Publish the plan beforehand, deliver inside the clock, claim what the ledger says."""
    with _s3() as endpoint:
        os.environ.update(_environment(job, endpoint))
        # In a process of its own: publishing is the plan's work, and its memory not the delivery's.
        subprocess.run([*sys.orig_argv[:-2], "publish", sys.argv[-1]], check=True)
        from recsync.push.deliver import deliver as stage

        try:
            with job.clock():
                report = stage(_PROGRAM, _DELIVERY)
            job.figures["recsync"] = {"outcomes": report.outcomes, "answers": report.answers}
        finally:
            job.measure_memory()
            _claim(job)


def publish(job: DeliveryJob) -> None:
    """Publish the plan as its stage does, into a new bucket."""
    import boto3

    from recsync.context import StageContext
    from recsync.push.plan_format import Estimate, PlanFigures
    from recsync.push.store import PlanManifest

    aws = json.loads(os.environ["AIRFLOW_CONN_AWS_DEFAULT"])
    s3 = boto3.client(
        "s3",
        endpoint_url=aws["extra"]["service_config"]["s3"]["endpoint_url"],
        region_name=_REGION,
        aws_access_key_id=aws["login"],
        aws_secret_access_key=aws["password"],
    )
    s3.create_bucket(Bucket=_BUCKET)
    context = StageContext.of(_PROGRAM)
    folder = job.state / "plan"
    users = pq.read_metadata(folder / "writes" / "rest.parquet").num_rows
    size = Path(job.options["objects"]).stat().st_size - users
    figures = PlanFigures(
        users, {"canary": 0, "removals": 0, "rest": users}, users, 0, 0, {}, {}, users, size
    )
    now = datetime.now(UTC).isoformat()
    estimate = Estimate(users, users // 75, 0.0, users)
    manifest = PlanManifest(_DELIVERY, "bench", now, "bench", False, figures, estimate)
    context.store(Deliveries).publish(manifest, folder, [])
    state, etag = context.store(LastSent).read()
    context.store(LastSent).replace(type(state)(open_delivery=_DELIVERY), etag)


def _row(line: bytes, job: DeliveryJob) -> dict[str, Any]:
    document = json.loads(line)
    change = {"attribute": job.options["attribute"], "fingerprint": 1}
    return {
        "external_id": document["external_id"],
        "in_audience": True,
        "removal": False,
        "object": line,
        "data_points": 1,
        "changes": [change],
    }


def _chunks(path: Path) -> Generator[list[bytes]]:
    lines: list[bytes] = []
    with path.open("rb") as file:
        for line in file:
            lines.append(line.rstrip(b"\n"))
            if len(lines) == 20_000:
                yield lines
                lines = []
    if lines:
        yield lines


def _claim(job: DeliveryJob) -> None:
    from recsync.context import StageContext
    from recsync.push.ledger import Status

    context = StageContext.of(_PROGRAM)
    manifest = context.store(Deliveries).plan(_DELIVERY)
    ledger, _ = context.store(Deliveries).read_ledger(manifest.delivery, manifest.figures.total_rows)
    table = pq.read_table(job.state / "plan" / "writes" / "rest.parquet", columns=["external_id"])
    taken = pa.array(ledger.statuses == Status.TAKEN)
    job.claim([{"external_id": who} for who in table["external_id"].filter(taken).to_pylist()])
    for reason in ledger.reasons.values():
        job.fail(reason)


@contextmanager
def _s3() -> Generator[str]:
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr or ():
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                # Its log must not fill the pipe.
                subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
                yield found.group()
                break
    finally:
        process.terminate()
        process.wait(30)


def _environment(job: DeliveryJob, endpoint: str) -> dict[str, str]:
    include = job.state / "include"
    for name in ("programs", f"sql/{_PROGRAM}", f"schemas/{_PROGRAM}"):
        (include / name).mkdir(parents=True, exist_ok=True)
    braze = {
        "attribute": job.options["attribute"],
        "update_existing_only": False,
        "delivery": {"canary_share": 0},
    }
    (include / "programs" / f"{_PROGRAM}.yaml").write_text(json.dumps({"braze": braze}))
    for query in ("interactions", "audience", "catalogue"):
        (include / "sql" / _PROGRAM / f"{query}.sql").write_text("SELECT 1")
    fields = [("USER_ID", "string"), ("ITEM_ID", "string"), ("TIMESTAMP", "long")]
    schema = {"type": "record", "name": "Interactions", "namespace": "com.amazonaws.personalize.schema"}
    schema |= {"version": "1.0", "fields": [{"name": name, "type": kind} for name, kind in fields]}
    (include / "schemas" / _PROGRAM / "interactions.json").write_text(json.dumps(schema))
    aws = {"region_name": _REGION, "service_config": {"s3": {"endpoint_url": endpoint}}}
    requests, seconds = job.options.get("burst", (1_000_000, 3))
    rates = {"connections": job.connections, "burst_requests": requests, "burst_seconds": seconds}
    extra = {"conn_type": "braze", "host": job.url, "password": _KEY, "extra": rates}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": aws}
    environment = {
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_BRAZE_DEFAULT": json.dumps(extra),
        "AIRFLOW__RECSYNC__BUCKET": _BUCKET,
        "AIRFLOW__RECSYNC__INCLUDE_FOLDER": str(include),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__RECSYNC__PACE_REDIS_URL": job.options.get("pace_redis_url", ""),
    }
    if job.certificate:
        environment["SSL_CERT_FILE"] = job.certificate
    return environment
