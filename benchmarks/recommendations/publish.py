"""Publish lists of made-up users, as the stage ``recommend`` does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.catalog import CATALOG, positions_in
from recsync.recommend.lists.list_partition import LISTS
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

PROGRAM = "shop"
LENGTH = 12
ITEMS = 50_000
_PART = 131_072


def user_id(number: int) -> str:
    return f"customer-{number:07d}"


def write_program(include: Path) -> None:
    """Write a program file, and what it names, below an empty folder."""
    for name in ("programs", f"sql/{PROGRAM}", f"schemas/{PROGRAM}"):
        (include / name).mkdir(parents=True)
    program = {
        "recommendations": {"length": LENGTH, "fallback": ["popular"]},
        "braze": {
            "attribute": "recs",
            "payload": "objects",
            "item_fields": ["name", "price", "url", "image"],
        },
    }
    (include / "programs" / f"{PROGRAM}.yaml").write_text(json.dumps(program))  # JSON is YAML
    for query in ("interactions", "audience", "catalogue"):
        (include / "sql" / PROGRAM / f"{query}.sql").write_text("SELECT 1")
    fields = [{"name": name, "type": "string"} for name in ("USER_ID", "ITEM_ID")]
    schema = {
        "type": "record", "name": "Interactions", "namespace": "com.amazonaws.personalize.schema", "version": "1.0",
        "fields": [*fields, {"name": "TIMESTAMP", "type": "long"}],
    }  # fmt: skip
    (include / "schemas" / PROGRAM / "interactions.json").write_text(json.dumps(schema))


def publish(bucket: Bucket, folder: Path, run: str, users: int, mark: str) -> None:
    """Publish a run: each item's name begins with the mark, which tells publications apart."""
    rng = np.random.default_rng(len(mark))
    ids = [f"{number:06d}" for number in range(ITEMS)]
    fields = [
        json.dumps({
            "name": f"{mark} Product {one} of the made-up shop", "price": round(1 + int(one) % 997 / 7, 2),
            "url": f"https://shop.example/products/{one}?utm_source=mail", "image": f"https://shop.example/i/{one}.png",
        })
        for one in ids
    ]  # fmt: skip
    catalog = pa.table({"item_id": ids, "fields": fields}, schema=CATALOG)
    lists, audience = folder / "lists.parquet", folder / "audience.parquet"
    schema = LISTS.with_metadata(positions_in(catalog))
    with pq.ParquetWriter(lists, schema) as lists_file, pq.ParquetWriter(audience, AUDIENCE) as people_file:
        for start in range(0, users, _PART):
            people = [user_id(number) for number in range(start, min(users, start + _PART))]
            chosen = pa.array(rng.integers(0, ITEMS, LENGTH * len(people), dtype=np.int32))
            offsets = pa.array(np.arange(0, LENGTH * len(people) + 1, LENGTH, dtype=np.int32))
            columns = {
                "external_id": pa.array(people), "items": pa.ListArray.from_arrays(offsets, chosen),
                "tier": pa.array(["personal"] * len(people)), "reason": pa.array([""] * len(people)),
            }  # fmt: skip
            nothing = {field.name: pa.nulls(len(people), field.type) for field in schema}
            lists_file.write_table(pa.table({**nothing, **columns}).cast(schema))
            named = {"user_id": [f"c{one}" for one in people], "external_id": people}
            nothing = {field.name: pa.nulls(len(people), field.type) for field in AUDIENCE}
            people_file.write_table(pa.table({**nothing, **named}).cast(AUDIENCE))
    keys = Keys(PROGRAM)
    bucket.upload(keys.audience(run), audience)
    moment = datetime.now(UTC).isoformat()
    manifest = RecommendationsManifest(run, moment, "", "", users, users, {}, ITEMS)
    RecommendationsStore(bucket, keys).publish(manifest, lists, catalog)
