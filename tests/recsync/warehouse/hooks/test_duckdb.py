from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from recsync.errors import FatalError, RetriableError
from recsync.warehouse.hooks import Warehouse, warehouse

ENDLESS = "SELECT i, repeat('x', 100) FROM range(1000000000) AS numbers(i)"


@pytest.fixture
def source(connect: Any, database_file: Path) -> Warehouse:
    duckdb.connect(str(database_file)).close()
    connect(conn_type="duckdb", host=str(database_file), extra={"threads": 2})
    return warehouse("warehouse")


def test_an_error_at_a_late_row_comes_after_the_good_ones(source: Warehouse, read_until_error: Any) -> None:
    late = (
        "SELECT i, CASE WHEN i = 900000 THEN error('a bad row') ELSE i END FROM range(1000000) AS numbers(i)"
    )
    with (
        source.open_csv(late, name="x") as stream,
        pytest.raises(FatalError, match=r"refused x: .*a bad row"),
    ):
        read_until_error(stream)


def test_who_leaves_early_cancels_the_query(source: Warehouse, database_file: Path) -> None:
    with source.open_csv(ENDLESS, name="x") as stream:
        assert stream.read(1000)
    # Nobody reads it any more: it can be written to.
    with duckdb.connect(str(database_file)) as writer:
        writer.execute("CREATE TABLE t (i int)")


def test_rows_come_in_bounded_memory(source: Warehouse) -> None:
    with source.read(ENDLESS, ["i"], name="x") as rows:
        assert next(rows.batches)["i"].to_pylist()[:2] == ["0", "1"]


def test_an_export_only_reads(source: Warehouse, database_file: Path) -> None:
    with duckdb.connect(str(database_file)) as writer:
        writer.execute("CREATE SEQUENCE numbers")
    with (
        pytest.raises(FatalError, match="read-only"),
        source.open_csv("SELECT nextval('numbers')", name="x") as stream,
    ):
        stream.read(1)


def test_a_table_that_vanished_may_come_back(source: Warehouse, database_file: Path) -> None:
    with duckdb.connect(str(database_file)) as writer:
        writer.execute("CREATE TABLE sales (id int)")
    assert [column.name for column in source.columns("SELECT id FROM sales", name="x")] == ["id"]
    with duckdb.connect(str(database_file)) as writer:
        writer.execute("DROP TABLE sales")
    with (
        pytest.raises(RetriableError, match="sales"),
        source.open_csv("SELECT id FROM sales", name="x") as stream,
    ):
        stream.read(1)


def test_a_missing_file_is_named(connect: Any) -> None:
    connect(conn_type="duckdb", host="/nowhere/shop.duckdb")
    with pytest.raises(FatalError, match=r"no database file '/nowhere/shop.duckdb'.*connection's host"):
        warehouse("warehouse").columns("SELECT 1", name="x")


def test_a_file_that_somebody_writes_to_is_tried_again(source: Warehouse, database_file: Path) -> None:
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(database_file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(RetriableError, match="lock"):
            source.columns("SELECT 1", name="x")
        writer.communicate()
    assert [column.name for column in source.columns("SELECT 1 AS one", name="x")] == ["one"]
