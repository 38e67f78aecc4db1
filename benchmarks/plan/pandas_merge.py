"""The notebook: ``read_json(lines=True)``, ``merge`` with what was sent, ``to_json`` of what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from benchmarks.job import OBJECTS_PER_CALL, PlanJob


def prepare(job: PlanJob) -> None:
    """Keep the first output as a Parquet file."""
    _read(job.first).to_parquet(job.state / "sent.parquet")


def plan(job: PlanJob) -> None:
    """Write the bodies of changed, new and gone users."""
    with job.clock():
        sent = pd.read_parquet(job.state / "sent.parquet")
        merged = _read(job.output).merge(sent, on="user", how="outer", suffixes=("", "_sent"), indicator=True)
        both = merged["_merge"] == "both"
        changed = both & (merged["items"] != merged["items_sent"])
        new, gone = merged["_merge"] == "left_only", merged["_merge"] == "right_only"
        _write(merged[changed | new | gone], job)
        counts = {"changed": int(changed.sum()), "new": int(new.sum()), "gone": int(gone.sum())}
        unchanged = int((both & ~changed).sum())
    job.found(**counts, unchanged=unchanged)


def _read(path: Path) -> pd.DataFrame:
    frame = pd.read_json(path, lines=True)
    items = frame["output"].map(lambda output: json.dumps(output["recommendedItems"]))
    return pd.DataFrame({"user": frame["input"].map(lambda value: value["userId"]), "items": items})


def _write(rows: pd.DataFrame, job: PlanJob) -> None:
    lists = rows["items"].map(lambda items: json.loads(items) if isinstance(items, str) else None)
    objects = pd.DataFrame({"external_id": rows["user"], job.attribute: lists})
    with (job.out / "bodies.jsonl").open("w") as out:
        for start in range(0, len(objects), OBJECTS_PER_CALL):
            part = objects.iloc[start : start + OBJECTS_PER_CALL].to_json(orient="records")
            out.write(f'{{"attributes":{part}}}\n')
