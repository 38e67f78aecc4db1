"""The local stack for tests: real servers on free ports, stopped at the end."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg
import requests
from moto.server import ThreadedMotoServer

from warehouse_local.server import EmbeddedServer, running

REPO = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
BUCKET = "recsync-test"
START_TIMEOUT_SECONDS = 60


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Services:
    """Addresses of the running servers."""

    dsn: str
    s3: str
    personalize: str
    braze: str
    braze_key: str
    braze_narrow_key: str

    def execute(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        """Run SQL in the warehouse; with ``rows``, once for each."""
        with psycopg.connect(self.dsn) as connection, connection.cursor() as cursor:
            if rows is None:
                cursor.execute(statement)
            else:
                cursor.executemany(statement, rows)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Fetch rows from the warehouse."""
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(statement).fetchall()

    def boto3(self, service: str) -> Any:
        """Make a boto3 client of one of the local servers."""
        url = self.s3 if service == "s3" else self.personalize
        return boto3.client(service, endpoint_url=url, region_name=REGION)

    def profiles(self) -> dict[str, dict[str, Any]]:
        """Read every profile of the Braze sandbox, after applying what is pending: external id -> attributes."""
        requests.post(f"{self.braze}/_local/flush", timeout=30).raise_for_status()
        found: dict[str, dict[str, Any]] = {}
        while True:
            page = requests.get(
                f"{self.braze}/_local/profiles", params={"limit": 500, "offset": len(found)}, timeout=30
            ).json()["profiles"]
            found |= {p["external_id"]: p.get("custom_attributes", {}) for p in page}
            if len(page) < 500:
                return found

    def meter(self) -> dict[str, Any]:
        """Read the sandbox's meter."""
        return dict(requests.get(f"{self.braze}/_local/meter", timeout=30).json())

    def faults(self, **fault: Any) -> None:
        """Script a fault of the sandbox."""
        requests.post(f"{self.braze}/_local/faults", json=fault, timeout=30).raise_for_status()

    def environment(self) -> dict[str, str]:
        """Give the Airflow settings and connections that reach these servers."""
        aws = {
            "conn_type": "aws",
            "login": "test",
            "password": "test",
            "extra": {
                "region_name": REGION,
                "service_config": {
                    "s3": {"endpoint_url": self.s3},
                    **{
                        service: {"endpoint_url": self.personalize}
                        for service in ("personalize", "personalize-runtime", "personalize-events")
                    },
                },
            },
        }
        braze = {
            "conn_type": "braze",
            "host": self.braze,
            "password": self.braze_key,
            "extra": {"max_tries": 5},
        }
        return {
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
            "AIRFLOW_CONN_WAREHOUSE": self.dsn,
            "AIRFLOW_CONN_BRAZE_DEFAULT": json.dumps(braze),
            "AIRFLOW__RECSYNC__BUCKET": BUCKET,
            "AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN": "arn:aws:iam::000000000000:role/personalize",
            # As personalize_local is told below.
            "AIRFLOW__RECSYNC__DATASET_GROUPS_QUOTA": "100",
        }


@contextmanager
def started(folder: Path, *personalize_arguments: str) -> Generator[Services]:
    """Start warehouse, S3, Personalize and Braze, and stop them at the end.

    :param personalize_arguments: more arguments of ``personalize_local``.
    """
    with ExitStack() as stack:
        database = EmbeddedServer(folder / "postgres", free_port(), secrets.token_hex(16))
        stack.enter_context(running(database, log=folder / "postgres.log"))
        s3_port = free_port()
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=s3_port, verbose=False)
        moto.start()
        stack.callback(moto.stop)
        s3 = f"http://127.0.0.1:{s3_port}"
        boto3.client("s3", endpoint_url=s3, region_name=REGION).create_bucket(Bucket=BUCKET)
        key, narrow = secrets.token_hex(16), secrets.token_hex(16)
        permissions = (
            "users.track,users.export.ids,catalogs.get,catalogs.create,catalogs.get_item,catalogs.get_items"
        )
        keys = f"{key} {narrow}:{permissions},catalogs.replace_items"
        aws = {"AWS_ENDPOINT_URL_S3": s3, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        personalize = stack.enter_context(
            _server(
                "personalize_local",
                folder,
                # Every test's shop keeps a dataset group to the end of the session.
                ["--time-scale", "0", "--quota", "dataset-groups=100", *personalize_arguments],
                {**aws, "AWS_DEFAULT_REGION": REGION},
            )
        )
        braze = stack.enter_context(
            _server(
                "braze_local",
                folder,
                ["--apply-delay-seconds", "0.2", "--missing-users", "adopt"],
                {"BRAZE_LOCAL_KEY": keys},
            )
        )
        yield Services(database.dsn(), s3, personalize, braze, key, narrow)


@contextmanager
def _server(package: str, folder: Path, arguments: list[str], environment: dict[str, str]) -> Generator[str]:
    port = free_port()
    log = folder / f"{package}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", package, "--port", str(port), "--data", str(folder / package), *arguments],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": str(REPO / "local"), **environment},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{url}/health", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} did not start: {log.read_text()[-2000:]}")
