"""The worked example over the tables: every cell runs, in the environment that ``make notebook`` makes.

That environment is downloaded, so it takes ``RECSYNC_LONG_TESTS=1``.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.tables.build import write_rows
from recsync.tables.schema import TABLES
from recsync.tables.store import TableStore

REPO = Path(__file__).resolve().parents[2]
NOTEBOOK = REPO / "examples" / "notebook" / "deliveries.py"


def test_the_notebook_is_code_and_stores_no_output() -> None:
    tree = ast.parse(NOTEBOOK.read_text())
    cells = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert len(cells) > 5
    assert {node.name for node in cells} == {"_"}
    assert len(NOTEBOOK.read_bytes()) < 10_000


@pytest.mark.skipif(not os.environ.get("RECSYNC_LONG_TESTS"), reason="downloads marimo and what it needs")
def test_every_cell_runs(tmp_path: Path) -> None:
    environment, python = tmp_path / "venv", tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    install = ["uv", "pip", "install", "--quiet", "--native-tls", "--python", str(python)]
    requirements = ["-r", str(NOTEBOOK.parent / "requirements.txt")]
    subprocess.run([sys.executable, "-m", *install, *requirements], check=True)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        _fill(url, tmp_path)
        extra = {"region_name": "us-east-1", "service_config": {"s3": {"endpoint_url": url}}}
        connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(REPO / "plugins"),
            "AIRFLOW__RECSYNC__BUCKET": "notebook",
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
            "PROGRAM": "shop",
        }
        done = subprocess.run(
            [str(environment / "bin" / "marimo"), "export", "html", str(NOTEBOOK), "-o", str(tmp_path / "page.html")],
            env=environ, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    for shown in (
        "People by outcome",
        "Metrics of evaluated versions",
        "One person",
        "p-17",
        "training_hours",
    ):
        assert shown in page


def _fill(url: str, folder: Path) -> None:
    """Write one row of each table, of yesterday."""
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test",
                          aws_secret_access_key="test")  # fmt: skip
    client.create_bucket(Bucket="notebook")
    store = TableStore(Bucket(client, "notebook"), Keys("shop"))
    moment = datetime.now(UTC) - timedelta(days=1)
    values = {
        "program": "shop", "delivery": "d", "run": "r", "user_id": "u1", "external_id": "b1", "outcome": "sent",
        "sent": 1, "item_id": "p-17", "position": 1, "metric": "ndcg", "metric_value": 0.5, "month": "2026-11",
        "step": "training_hours", "cost": 2.0, "quantity": 1.0, "event": "conversion", "outcome_value": 9.0,
    }  # fmt: skip
    for table in TABLES.values():
        times = {column.name: moment for column in table.columns if column.kind == "time"}
        row = {name: value for name, value in (values | times).items() if name in table.names}
        write_rows(table, [row], folder / "x.parquet")
        day: date = moment.date()
        store.put(table, day, "x", folder / "x.parquet")
