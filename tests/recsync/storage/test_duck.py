from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recsync.errors import RetriableError
from recsync.storage import machine
from recsync.storage.bucket import Bucket
from recsync.storage.duck import local_disk, opened


def test_a_full_disk_is_named(bucket: Bucket) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(RetriableError, match="no room at /somewhere"), local_disk(Path("/somewhere")):
        full.write_bytes(b"x")


def test_a_database_has_the_threads_of_the_process_and_the_memory_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(machine.THREADS, "1")
    query = "SELECT current_setting('threads'), current_setting('memory_limit')"
    with opened(tmp_path) as database:
        assert database.execute(query).fetchone() == (1, "244.1 MiB")
    monkeypatch.setenv(machine.TASK_MEMORY_MB, "4096")
    with opened(tmp_path, memory_limit=machine.duckdb_memory(), threads=3) as database:
        assert database.execute(query).fetchone() == (3, "1023.2 MiB")


def test_too_little_memory_says_where_there_is_more(tmp_path: Path) -> None:
    with (
        pytest.raises(
            RetriableError, match=r"needs more memory than its 20MB.*AIRFLOW__RECSYNC__TASK_MEMORY_MB"
        ),
        opened(tmp_path, memory_limit="20MB", threads=1) as database,
    ):
        # DuckDB cannot spill a list.
        database.execute("SELECT list(n) FROM range(10_000_000) AS numbers(n)").fetchone()


def test_arrow_imports_pandas_only_where_a_frame_is_wanted() -> None:
    program = """
import sys
import pyarrow as pa
from recsync.storage.duck import modest_allocator

with modest_allocator():
    column = pa.array([1, None])
    column.fill_null(0).to_numpy()
    assert "pandas" not in sys.modules
    assert column.to_pandas().sum() == 1
    assert "pandas" in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
