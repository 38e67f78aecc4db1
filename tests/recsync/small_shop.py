"""The program of ``stage_shop`` with a DuckDB warehouse, an ``airflow`` command and other programs beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
from stage_shop import StageShop

from recsync.context import StageContext

QUERIES = {
    "interactions": "SELECT 1",
    "audience": "SELECT user_id, external_id FROM people",
    "catalogue": "SELECT item_id FROM items",
}


@dataclass(frozen=True)
class SmallShop:
    """The program ``shop``: 2 users and 3 items."""

    include: Path
    s3_url: str
    monkeypatch: pytest.MonkeyPatch

    @property
    def context(self) -> StageContext:
        return StageContext.of("shop")

    def write_program(self, name: str = "shop", **fields: Any) -> None:
        program = {"recommendations": {"length": 2}, "braze": {"attribute": "recs"}, **fields}
        (self.include / f"programs/{name}.yaml").write_text(json.dumps(program))  # JSON is YAML
        for folder in ("sql", "schemas"):
            if not (self.include / folder / name).exists():
                shutil.copytree(self.include / folder / "shop", self.include / folder / name)

    def write_sql(self, query: str, text: str) -> None:
        (self.include / f"sql/shop/{query}.sql").write_text(text)

    def connect_personalize(self, url: str) -> None:
        endpoints = {"s3": {"endpoint_url": self.s3_url}, "personalize": {"endpoint_url": url}}
        extra = {"region_name": "us-east-1", "service_config": endpoints}
        connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
        self.monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))

    def airflow_command(self, *, exit_status: int = 0) -> Path:
        """Put an ``airflow`` beside the Python interpreter that only writes its arguments to the returned file."""
        folder = self.include / "bin"
        folder.mkdir(exist_ok=True)
        written, script = folder / "arguments.txt", folder / "airflow"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{written}"\nexit {exit_status}\n')
        script.chmod(0o755)
        self.monkeypatch.setattr("sys.executable", str(folder / "python"))
        return written

    def arguments(self, module: str, *arguments: str) -> None:
        """Set the command line of ``python -m``."""
        self.monkeypatch.setattr("sys.argv", [module, *arguments])


@pytest.fixture
def small_shop(
    stage_shop: StageShop, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SmallShop:
    warehouse = tmp_path / "shop.duckdb"
    _fill(warehouse, people=[("u1", "b-u1"), ("u2", "b-u2")], items=["i1", "i2", "i3"])
    connection = {"conn_type": "duckdb", "host": str(warehouse)}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    made = SmallShop(stage_shop.include, s3_url, monkeypatch)
    made.write_program()
    for query, text in QUERIES.items():
        made.write_sql(query, text)
    return made


@pytest.fixture
def local_personalize(small_shop: SmallShop, tmp_path: Path) -> Iterator[Any]:
    """A client of an empty local Personalize, which the program uses too."""
    from personalize_local.server import Server
    from personalize_local.service import Settings

    with Server(Settings(tmp_path / "personalize", time_scale=0, workers=1)) as server:
        small_shop.connect_personalize(server.url)
        yield boto3.client("personalize", endpoint_url=server.url, region_name="us-east-1")


def _fill(file: Path, *, people: Sequence[tuple[str, str]], items: Sequence[str]) -> None:
    with duckdb.connect(str(file)) as warehouse:
        warehouse.execute("CREATE TABLE people (user_id text, external_id text)")
        warehouse.execute("CREATE TABLE items (item_id text)")
        warehouse.executemany("INSERT INTO people VALUES (?, ?)", people)
        warehouse.executemany("INSERT INTO items VALUES (?)", [[item] for item in items])
