"""Warehouses to read: an embedded PostgreSQL, DuckDB and SQLite files, and S3 to unload to."""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from airflow.sdk import BaseHook, Connection
from moto.server import ThreadedMotoServer

from recsync.storage.csv_text import ByteStream
from warehouse_local.server import EmbeddedServer, running

sys.path.insert(0, str(Path(__file__).parent))

Connect = Callable[..., Connection]
BUCKET = "staging"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("postgres")
    embedded = EmbeddedServer(folder / "data", free_port(), f"p'w/:@%{secrets.token_hex(4)}")
    with running(embedded, log=folder / "log"):
        yield embedded


@pytest.fixture
def postgres(postgres_server: EmbeddedServer) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the tests' own; no table in schema public is left behind."""
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as connection:
        yield connection
        for (table,) in connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall():
            connection.execute(f'DROP TABLE public."{table}" CASCADE')


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Set the Airflow connection ``warehouse``."""

    def set_connection(**fields: Any) -> Connection:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(fields))
        return BaseHook.get_connection("warehouse")

    return set_connection


@pytest.fixture
def postgres_fields(postgres_server: EmbeddedServer) -> dict[str, Any]:
    return {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": postgres_server.port,
        "login": "postgres",
        "password": postgres_server.password,
        "schema": "warehouse",
    }


@pytest.fixture(scope="session")
def _moto() -> Iterator[str]:
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{port}"
    boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


@pytest.fixture
def moto_url(_moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """AWS for the connection ``aws_default``."""
    services = {name: {"endpoint_url": _moto} for name in ("s3", "redshift-data")}
    fields = {"conn_type": "aws", "login": "test", "password": "test"}
    extra = {"region_name": "us-east-1", "service_config": services}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({**fields, "extra": extra}))
    return _moto


@pytest.fixture
def s3(moto_url: str) -> Any:
    return boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")


@pytest.fixture
def staged(s3: Any) -> Callable[[], list[str]]:
    def keys() -> list[str]:
        return [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    return keys


@pytest.fixture
def read_all() -> Callable[[ByteStream], bytes]:
    def read(stream: ByteStream) -> bytes:
        blocks = []
        while block := stream.read(1 << 20):
            blocks.append(block)
        return b"".join(blocks)

    return read


@pytest.fixture
def read_until_error() -> Callable[[ByteStream], None]:
    """Read on until it raises; to come to an end would be wrong."""

    def read(stream: ByteStream) -> None:
        while True:
            assert stream.read(1 << 20), "the stream ended as if it were whole"

    return read


@pytest.fixture
def parse() -> Callable[[bytes], list[list[str | None]]]:
    """Read RFC 4180 to the letter: an empty cell is None, a quoted one a text."""
    return _parsed


def _parsed(data: bytes) -> list[list[str | None]]:
    text, position, rows, row = data.decode(), 0, [], []
    while position < len(text):
        cell, position = _cell(text, position)
        row.append(cell)
        assert text[position] in ",\n", text[position - 20 : position + 20]
        if text[position] == "\n":
            rows.append(row)
            row = []
        position += 1
    assert row == [], "the last line has no end"
    return rows


def _cell(text: str, position: int) -> tuple[str | None, int]:
    if text[position] != '"':
        end = min(found for mark in ",\n" if (found := text.find(mark, position)) >= 0)
        assert '"' not in text[position:end]
        assert "\r" not in text[position:end]
        return text[position:end] or None, end
    cell = ""
    while True:
        end = text.index('"', position + 1)
        cell += text[position + 1 : end]
        if text[end + 1] != '"':
            return cell, end + 1
        cell, position = cell + '"', end + 1


@pytest.fixture
def database_file(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.db"
