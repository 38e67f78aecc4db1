"""Reading rows takes the same memory for any number of them, measured in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

REPO = Path(__file__).resolve().parents[4]
QUERIES = {
    "duckdb": "SELECT i AS user_id, concat('user-', i, '@example.org') AS email, (i % 1000) / 7.0 AS score"
    " FROM range({}) AS numbers(i)",
    "postgres": "SELECT i AS user_id, concat('user-', i, '@example.org') AS email, (i % 1000) / 7.0 AS score"
    " FROM generate_series(1, {}) AS numbers(i)",
}
# After each query: its rows, and the peak of the process's memory since the last one in MB.
READER = """
import re, sys
from recsync.warehouse.hooks import warehouse
for conn_id, query in zip(sys.argv[1::2], sys.argv[2::2]):
    rows = 0
    open("/proc/self/clear_refs", "w").write("5")
    with warehouse(conn_id).read(query, ["user_id", "email", "score"], name="x", ids=["user_id"]) as found:
        for batch in found.batches:
            rows += batch.num_rows
    print(rows, int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


@pytest.fixture
def connections(database_file: Path, postgres_fields: dict[str, Any]) -> dict[str, str]:
    duckdb.connect(str(database_file)).close()
    fields = {"conn_type": "duckdb", "host": str(database_file), "extra": {"threads": 1}}
    return {
        "AIRFLOW_CONN_DUCKDB": json.dumps(fields),
        "AIRFLOW_CONN_POSTGRES": json.dumps(postgres_fields),
    }


def peaks(connections: dict[str, str], *queries: tuple[str, int]) -> list[tuple[int, int]]:
    """Read queries one after another in a new process: rows and peak memory in MB of each."""
    arguments = [text for kind, rows in queries for text in (kind, QUERIES[kind].format(rows))]
    done = subprocess.run(
        [sys.executable, "-c", READER, *arguments],
        env={**os.environ, **connections, "PYTHONPATH": str(REPO / "plugins")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line[:1].isdigit()]
    return [(int(rows), int(megabytes)) for rows, megabytes in lines]


def test_five_times_the_rows_take_no_more_memory(connections: dict[str, str]) -> None:
    # The first query of a warehouse warms up: what it imports and allocates stays.
    asked = [(kind, rows) for kind in QUERIES for rows in (100_000, 100_000, 500_000)]
    found = peaks(connections, *asked)
    assert [rows for rows, _ in found] == [rows for _, rows in asked]
    for _, (_, less), (_, more) in (found[:3], found[3:]):
        assert more - less < 25


@pytest.mark.long(reason="reads 6 million rows of each warehouse")
@pytest.mark.parametrize("kind", [*QUERIES])
def test_millions_of_rows_take_as_much_memory_as_one(kind: str, connections: dict[str, str]) -> None:
    found = dict(pair for rows in (1_000_000, 5_000_000) for pair in peaks(connections, (kind, rows)))
    print(kind, found)
    assert list(found) == [1_000_000, 5_000_000]
    assert found[5_000_000] - found[1_000_000] < 25
