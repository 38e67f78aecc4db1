"""The process that reads the rows of a snapshot: its end, and the end of the task that started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from test_postgres import ENDLESS, OURS, wait_until_nobody_reads

from recsync.errors import FatalError, RetriableError
from recsync.warehouse.hooks import Warehouse, copy_out, warehouse
from recsync.warehouse.hooks.postgres import libpq_parameters


@pytest.fixture
def source(connect: Any, postgres: psycopg.Connection[Any], postgres_fields: dict[str, Any]) -> Warehouse:
    connect(**postgres_fields)
    return warehouse("warehouse")


def test_a_killed_task_cancels_the_query_of_its_reading_process(
    source: Warehouse, postgres: psycopg.Connection[Any], postgres_fields: dict[str, Any], tmp_path: Path
) -> None:
    """A query without rows would not notice that nobody reads it."""
    request = {
        "parameters": libpq_parameters(source.connection),
        "before": [],
        "copy": "COPY (SELECT pg_sleep(600)) TO STDOUT",
    }
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import json, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, {copy_out.__file__!r}], stdin=subprocess.PIPE)\n"
        f"child.stdin.write({json.dumps(request).encode()!r} + b'\\n')\n"
        "child.stdin.flush()\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, str(parent)]) as task:
        deadline = time.monotonic() + 20
        while postgres.execute(f"SELECT count(*) {OURS} AND state = 'active'").fetchone() != (1,):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        task.kill()
    assert wait_until_nobody_reads(postgres)


def test_a_killed_reading_process_is_no_end(source: Warehouse, read_until_error: Any) -> None:
    with source.open_large_csv(ENDLESS, name="x") as stream:
        assert stream.read(1000)
        [child] = [
            int(one)
            for one in Path("/proc/self/task", str(os.getpid()), "children").read_text().split()
            if b"copy_out" in Path("/proc", one, "cmdline").read_bytes()
        ]
        os.kill(child, signal.SIGKILL)
        with pytest.raises(
            RetriableError, match=r"failed on x: the process that reads the rows ended with code -9"
        ):
            read_until_error(stream)


@pytest.mark.parametrize(
    ("field", "value", "kind"), [("password", "wrong", FatalError), ("port", 1, RetriableError)]
)
def test_a_reading_process_without_a_connection_says_so(
    connect: Any, postgres_fields: dict[str, Any], field: str, value: Any, kind: type[Exception]
) -> None:
    connect(**{**postgres_fields, field: value})
    with (
        pytest.raises(kind, match="x: "),
        warehouse("warehouse").open_large_csv("SELECT 1", name="x") as stream,
    ):
        stream.read(1)
