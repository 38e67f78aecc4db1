"""The program ``shop`` as stages find it: its files, a bucket, and a scripted Amazon Personalize."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_servers import AwsJsonServer

from recsync.context import StageContext
from recsync.evaluation.store import Champion, ChampionStore
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.store import ExportStore
from recsync.program import DatasetType
from recsync.program.intervals import Interval

ARN = "arn:aws:personalize:eu-west-1:000000000000:"
SOLUTION_ARN = f"{ARN}solution/shop-user-personalization"
NDCG = "normalized_discounted_cumulative_gain_at_25"
ROLE_ARN = "arn:aws:iam::000000000000:role/personalize"
_COLUMNS = {
    "interactions": ("USER_ID", "ITEM_ID", "EVENT_TYPE"),
    "items": ("ITEM_ID", "CATEGORY"),
    "users": ("USER_ID", "CITY"),
}


@dataclass(frozen=True)
class StageShop:
    """The program, and what Amazon Personalize answers to it."""

    include: Path
    personalize: AwsJsonServer

    def write(self, **fields: Any) -> StageContext:
        """Write the program file; JSON is YAML."""
        program = {"braze": {"attribute": "recs"}, **fields}
        (self.include / "programs" / "shop.yaml").write_text(json.dumps(program))
        return StageContext.of("shop")

    @property
    def context(self) -> StageContext:
        """The context of another stage: nothing is remembered."""
        return StageContext.of("shop")

    def publish(self, start: datetime, rows: Mapping[DatasetType, Sequence[str]]) -> Manifest:
        """Publish an hour's export.

        :param rows: of each dataset, as lines of CSV.
        """
        interval = Interval(start, start + timedelta(hours=1))
        keys = {kind: self.context.keys.export(kind, interval.key) for kind in rows}
        objects = {kind: self.put(key, rows[kind]) for kind, key in keys.items()}
        return self.context.store(ExportStore).publish_interval(Manifest(interval, objects))

    def put(self, key: str, rows: Sequence[str]) -> ExportedObject:
        """Write one CSV object."""
        body = "".join(f"{line}\n" for line in ("ITEM_ID,VALUE", *rows)).encode()
        etag = self.context.bucket.put(key, body)
        return ExportedObject(key, len(rows), len(body), hashlib.md5(body).hexdigest(), etag)

    def promote(self, version: str, ndcg: float = 0.5, mode: str = "FULL") -> Champion:
        """Make a version of the program's own solution the champion."""
        champion = Champion(f"{SOLUTION_ARN}/{version}", mode, "2026-11-22", f"run {version}", {NDCG: ndcg})
        self.context.store(ChampionStore).promote(champion)
        return champion


@pytest.fixture
def stage_shop(
    s3_url: str,
    aws_json_server: AwsJsonServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> StageShop:
    for folder in ("programs", "sql/shop", "schemas/shop"):
        (tmp_path / folder).mkdir(parents=True)
    for query in (*_COLUMNS, "audience", "catalogue"):
        (tmp_path / "sql" / "shop" / f"{query}.sql").write_text("SELECT 1")
    for name, columns in _COLUMNS.items():
        fields: list[dict[str, Any]] = [{"name": column, "type": "string"} for column in columns]
        if name == "interactions":
            fields.append({"name": "TIMESTAMP", "type": "long"})
        else:
            fields[-1]["categorical"] = True
        schema = {
            "type": "record",
            "name": name.title(),
            "namespace": "com.amazonaws.personalize.schema",
            "version": "1.0",
            "fields": fields,
        }
        (tmp_path / "schemas" / "shop" / f"{name}.json").write_text(json.dumps(schema))
    bucket = f"stage-{abs(hash(request.node.nodeid)):x}"
    boto3.client("s3", endpoint_url=s3_url, region_name="us-east-1").create_bucket(Bucket=bucket)
    services = {"s3": {"endpoint_url": s3_url}, "personalize": {"endpoint_url": aws_json_server.url}}
    extra = {"region_name": "us-east-1", "service_config": services}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__RECSYNC__BUCKET", bucket)
    monkeypatch.setenv("AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN", ROLE_ARN)
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(tmp_path))
    shop = StageShop(tmp_path, aws_json_server)
    shop.write()
    return shop
