"""A warehouse to load shops into, and an include folder to write programs to."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from warehouse_local.server import EmbeddedServer, running

sys.path.insert(0, str(Path(__file__).parent))
REPO = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def shop_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    embedded = EmbeddedServer(folder / "data", port, secrets.token_urlsafe())
    with running(embedded, log=folder / "log"):
        yield embedded


@pytest.fixture
def shop_dsn(shop_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty warehouse, to which the connection ``warehouse`` leads."""
    fields = {
        "conn_type": "postgres", "host": "127.0.0.1", "port": shop_server.port, "login": "postgres",
        "password": shop_server.password, "schema": "warehouse",
    }  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(fields))
    yield shop_server.dsn()
    with psycopg.connect(shop_server.dsn(), autocommit=True) as connection:
        for (table,) in connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall():
            connection.execute(f'DROP TABLE public."{table}" CASCADE')


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "include"
    (folder / "programs").mkdir(parents=True)
    shutil.copy(REPO / "include" / "prices.yaml", folder)
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(folder))
    monkeypatch.setenv("AIRFLOW__RECSYNC__BUCKET", "shop-bucket")
    return folder
