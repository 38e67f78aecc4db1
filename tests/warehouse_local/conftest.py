"""Run one embedded PostgreSQL for all tests of the warehouse."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from warehouse_local.dsn import connect
from warehouse_local.server import EmbeddedServer, running


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder: Path = tmp_path_factory.mktemp("postgres")
    # A password with every character that has to be escaped somewhere.
    embedded = EmbeddedServer(folder / "data", free_port(), f"p'w/:@%{secrets.token_hex(4)}")
    with running(embedded, log=folder / "log"):
        yield embedded


@pytest.fixture
def dsn(server: EmbeddedServer) -> str:
    return server.dsn()


@pytest.fixture
def db(dsn: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
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
