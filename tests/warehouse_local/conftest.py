"""Run one embedded PostgreSQL for all tests of the warehouse."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from warehouse_local.dsn import connect

sys.path.insert(0, str(Path(__file__).parent))
from small_sample import dsn, free_port, parquet_folder, server  # ruff: ignore[unused-import]


@pytest.fixture
def db(dsn: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:  # ruff: ignore[redefined-while-unused] - a fixture
    """Open a connection and leave no table in schema public behind."""
    with connect(dsn) as connection:
        connection.autocommit = True
        yield connection
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in rows:
            connection.execute(f'DROP TABLE public."{table}" CASCADE')


@pytest.fixture
def free_tcp_port() -> int:
    return free_port()
