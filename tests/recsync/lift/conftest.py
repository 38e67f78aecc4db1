"""A program with an experiment, its people, and outcomes in a PostgreSQL warehouse."""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
from experiment_shop import ExperimentShop
from stage_shop import StageShop

from warehouse_local.server import EmbeddedServer, running


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    embedded = EmbeddedServer(folder / "data", port, secrets.token_hex(8))
    with running(embedded, log=folder / "log"):
        yield embedded


@pytest.fixture
def experiment_shop(
    stage_shop: StageShop, postgres_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ExperimentShop]:
    connection = {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": postgres_server.port,
        "login": "postgres",
        "password": postgres_server.password,
        "schema": "warehouse",
    }
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as session:
        session.execute(
            "CREATE TABLE outcomes (user_id text, at bigint, value numeric, item_id text, event text, id text)"
        )
        shop = ExperimentShop(stage_shop, session)
        shop.write_program()
        yield shop
        session.execute("DROP TABLE outcomes")
