"""Build lists from lines of an output."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from list_reference import NOW

from recsync.program import Recommendations
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.build import build_lists
from recsync.recommend.lists.catalog import ItemCatalog, read_catalog
from recsync.recommend.lists.history import write_purchases
from recsync.recommend.lists.list_partition import ListsReport
from recsync.recommend.lists.output_mapping import OutputMapping

ITEMS = [f"p{n}" for n in range(8)]
USERS = [f"u{n}" for n in range(6)]
Lines = list[tuple[str, list[str] | str]]


def made(
    lines: Iterable[dict[str, Any]],
    mapping: OutputMapping,
    folder: Path,
    users: list[str] = USERS,
    per_partition: int = 2,
) -> tuple[dict[str, tuple[list[str], str]], ListsReport]:
    """Build everybody's list and reason."""
    people = [{"user_id": user, "external_id": f"b-{user}"} for user in users]
    pq.write_table(pa.Table.from_pylist(people, schema=AUDIENCE), folder / "audience.parquet")
    policy = Recommendations(length=6, min_length=1)
    items = pa.RecordBatch.from_pydict({"item_id": ITEMS})
    catalog = read_catalog([items], {}, {}, policy.rules, name="c.sql")
    (folder / "work").mkdir()
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    report = build_lists(
        [("lines.out", io.BytesIO(body))],
        folder / "audience.parquet",
        catalog,
        policy,
        folder / "lists.parquet",
        folder / "work",
        moment=NOW,
        mapping=mapping,
        people_per_partition=per_partition,
    )
    rows = with_ids(pq.read_table(folder / "lists.parquet"), catalog)
    return {row["external_id"].removeprefix("b-"): (row["items"], row["reason"]) for row in rows}, report


def bought(events: list[dict[str, Any]], catalog: ItemCatalog, target: Path) -> Path:
    """Write events (``user_id``, ``item_id``, ``timestamp``) as the purchases of a run."""
    names = ["user_id", "item_id", "timestamp"]
    texts = {name: pa.array([str(event[name]) for event in events], pa.string()) for name in names}
    write_purchases([pa.RecordBatch.from_pydict(texts)], target, catalog)
    return target


def with_ids(lists: pa.Table, catalog: ItemCatalog) -> list[dict[str, Any]]:
    """Return the rows of published lists with the items' ids instead of their positions."""
    ids = catalog.item_ids.to_pylist()
    return [{**row, "items": [ids[position] for position in row["items"]]} for row in lists.to_pylist()]
