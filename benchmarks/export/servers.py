"""Run what an export reads from and writes to: the wheel's PostgreSQL, and moto's S3 in a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import psycopg

from benchmarks.export.data import END, table_statements
from benchmarks.places import ROOT, emptied_folder

BUCKET = "recsync-bench"
REGION = "us-east-1"
_START_SECONDS = 60
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Servers:
    """Addresses of the running servers."""

    dsn: str
    s3_url: str

    def create_tables(self, rows: int) -> None:
        """Make the tables of one size, in one transaction, and let nothing of it go on while others are timed."""
        with psycopg.connect(self.dsn) as connection:
            for statement in table_statements(rows):
                connection.execute(statement)
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(f"VACUUM (ANALYZE) bench.interactions_{rows}")
            connection.execute("CHECKPOINT")

    def drop_tables(self, rows: int) -> None:
        """Give their space back."""
        with psycopg.connect(self.dsn) as connection:
            for kind in ("interactions", "users", "items"):
                connection.execute(f"DROP TABLE bench.{kind}_{rows}")

    def index_time(self, rows: int) -> None:
        """Let intervals be found without reading the whole table."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(f"CREATE INDEX ON bench.interactions_{rows} (happened_at)")

    def events_of_last_hours(self, rows: int, hours: int) -> int:
        """Count the events of so many hours."""
        statement = (
            f"SELECT count(*) FROM bench.interactions_{rows} WHERE happened_at >= %s AND happened_at < %s"
        )
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(statement, (END - timedelta(hours=hours), END)).fetchone()
        assert row is not None
        return int(row[0])

    def empty_bucket(self) -> None:
        """Forget every object: moto keeps them in memory."""
        request = urllib.request.Request(f"{self.s3_url}/moto-api/reset", method="POST")
        _opener().open(request, timeout=_START_SECONDS).close()
        self._s3().create_bucket(Bucket=BUCKET)

    def count_rows(self, key: str) -> int:
        """Count the lines of an object, its header left out."""
        body = self._s3().get_object(Bucket=BUCKET, Key=key)["Body"]
        lines: int = sum(block.count(b"\n") for block in body.iter_chunks(_READ_BYTES))
        return lines - 1

    def count_hourly_rows(self) -> tuple[int, int]:
        """Count the exported objects of interactions, and the lines in them, headers left out."""
        pages = self._s3().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        exported = [key for key in keys if key.endswith(".csv")]
        return len(exported), sum(self.count_rows(key) for key in exported)

    def environment(self) -> dict[str, str]:
        """Return the Airflow connections and settings that lead here."""
        aws = {
            "conn_type": "aws",
            "login": "test",
            "password": "test",
            "extra": {"region_name": REGION, "service_config": {"s3": {"endpoint_url": self.s3_url}}},
        }
        return {
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
            "AIRFLOW_CONN_WAREHOUSE": self.dsn,
            "AIRFLOW__RECSYNC__BUCKET": BUCKET,
        }

    def _s3(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.s3_url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@contextmanager
def running_servers() -> Generator[Servers]:
    """Start both on free ports, and stop and delete them at the end."""
    # The local stack is no package of the project's: it is found by its folder.
    sys.path.insert(0, str(ROOT / "local"))
    from warehouse_local.server import EmbeddedServer, running

    folder = emptied_folder("export/postgres")
    database = EmbeddedServer(folder / "data", free_port(), secrets.token_hex(16))
    try:
        with running(database, log=folder / "log"), _running_s3(folder / "s3.log") as s3_url:
            servers = Servers(database.dsn(), s3_url)
            servers.empty_bucket()
            yield servers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running_s3(log: Path) -> Generator[str]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=_START_SECONDS)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _opener().open(f"{url}/moto-api/data.json", timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"moto did not start on {url}")


def _opener() -> urllib.request.OpenerDirector:
    # No proxy of the environment's stands between us and the servers.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
