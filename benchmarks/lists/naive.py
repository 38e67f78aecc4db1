"""The script that most people write: json, a set of what each user bought, one loop."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.data import BOUGHT_SINCE, LENGTH, MOST_PER_BRAND
from benchmarks.job import ListsJob


def build(job: ListsJob) -> None:
    """Write one JSON line per user."""
    path = job.out / "lists.jsonl"
    with job.clock():
        audience = dict(zip(*_columns(job.audience, "user_id", "external_id"), strict=True))
        brands = dict(zip(*_columns(job.catalogue, "item_id", "brand"), strict=True))
        bought: defaultdict[str, set[str]] = defaultdict(set)
        for user, item, time in zip(*_columns(job.purchases, "user_id", "item_id", "timestamp"), strict=True):
            if time >= BOUGHT_SINCE:
                bought[user].add(item)
        with job.output.open() as file, path.open("w") as out:
            for line in file:
                document = json.loads(line)
                user = document["input"]["userId"]
                if user not in audience:
                    continue
                chosen: list[str] = []
                counts: Counter[str] = Counter()
                for item in document["output"]["recommendedItems"]:
                    brand = brands.get(item)
                    if brand is None or item in bought[user] or counts[brand] == MOST_PER_BRAND:
                        continue
                    counts[brand] += 1
                    chosen.append(item)
                    if len(chosen) == LENGTH:
                        break
                out.write(json.dumps({"external_id": audience[user], "items": chosen}) + "\n")
    with path.open() as file:
        job.built((line["external_id"], line["items"]) for line in map(json.loads, file))


def _columns(path: Path, *names: str) -> list[list[Any]]:
    return [column.to_pylist() for column in pq.read_table(path, columns=list(names)).columns]
