"""Turn answers of a model into the item lists of replies, with metadata where asked for."""

from __future__ import annotations

import uuid
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine import Answer
from personalize_local.errors import invalid_input
from personalize_local.real_time.context import RealTime
from personalize_local.real_time.serving import Served

# https://docs.aws.amazon.com/personalize/latest/dg/getting-recommendations-with-metadata.html
_MOST_COLUMNS = 10
_SCORE_DECIMALS = 7

Entry = dict[str, Any]


def recommendation_id() -> str:
    """Return a new id, which an event can name: 40 characters, the most that PutEvents takes."""
    return f"RID-{uuid.uuid4()}"


def entries_of(found: Answer, id_member: str = "itemId") -> list[Entry]:
    """Return one entry per id: with its score and reasons, where the recipe has them."""
    entries: list[Entry] = []
    for place, each in enumerate(found.ids):
        entry: Entry = {id_member: each}
        if found.scores is not None and place < len(found.scores):
            entry["score"] = round(float(found.scores[place]), _SCORE_DECIMALS)
        if found.reasons is not None and found.reasons[place]:
            entry["reason"] = list(found.reasons[place])
        entries.append(entry)
    return entries


def checked_columns(around: RealTime, served: Served, params: dict[str, Any]) -> list[str]:
    """Return the columns of Items that `metadataColumns` names; raise `ApiError`."""
    asked: dict[str, list[str]] = params.get("metadataColumns", {})
    columns = [column for names in asked.values() for column in names]
    if not columns:
        return []
    if not served.has_metadata:
        raise invalid_input("metadataColumns requires a campaign with enableMetadataWithRecommendations.")
    if [kind.upper() for kind in asked] != ["ITEMS"]:
        raise invalid_input("metadataColumns can name columns of ITEMS only.")
    if len(columns) > _MOST_COLUMNS:
        raise invalid_input(f"metadataColumns can name at most {_MOST_COLUMNS} columns.")
    dataset = around.rows.datasets(served.group_arn).get("ITEMS")
    known = around.rows.schema(dataset).names if dataset else []
    unknown = [column for column in columns if column not in known]
    if unknown:
        raise invalid_input(f"The schema of ITEMS has no column {', '.join(unknown)}.")
    return columns


def add_metadata(around: RealTime, served: Served, entries: list[Entry], columns: list[str]) -> None:
    """Give each entry the values of the columns as strings; nulls are left out."""
    dataset = around.rows.datasets(served.group_arn).get("ITEMS")
    if not columns or dataset is None:
        return
    table = around.rows.all(dataset)
    ids = pa.array([entry["itemId"] for entry in entries], pa.string())
    rows = table.filter(pc.is_in(table["ITEM_ID"], ids)).select(["ITEM_ID", *columns]).to_pylist()
    by_id = {row["ITEM_ID"]: row for row in rows}
    for entry in entries:
        row = by_id.get(entry["itemId"], {})
        entry["metadata"] = {name: str(row[name]) for name in columns if row.get(name) is not None}
