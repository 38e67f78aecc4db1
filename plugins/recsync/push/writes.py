"""Render and write the rows of a plan, chunk by chunk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from braze_client.payloads import MAX_VALUE_BYTES
from recsync.program import Braze
from recsync.push.diff import CHUNK_ROWS, Inputs, list_batches
from recsync.push.rendering import (
    Elements,
    Lists,
    member,
    optional,
    render_lists,
    render_nulls,
    render_objects,
    render_texts,
)
from recsync.push.schemas import CHANGES, WRITES


@dataclass
class Tally:
    """What has been written so far."""

    rows: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    data_points: int = 0
    object_bytes: int = 0


def write_lists(
    database: duckdb.DuckDBPyConnection, inputs: Inputs, elements: Elements, target: Path, tally: Tally
) -> pa.Table:
    """Write the rows of people who have a list; return those that Braze would drop."""
    dropped: list[pa.Table] = []
    first = 0
    canary, rest = (_writer(target, part) for part in ("canary", "rest"))
    with canary, rest:
        for batch in list_batches(inputs.lists, ["external_id", "item_ids", "tier"]):
            todo = database.sql(
                "SELECT row, changes, row IN (SELECT row FROM canary) AS canary FROM todo "
                f"WHERE has_list AND row >= {first} AND row < {first + len(batch)} ORDER BY row"
            ).to_arrow_table()
            if len(todo):
                rows = todo["row"].to_numpy() - first
                table = _render(inputs.braze, elements, batch, rows, todo["changes"].combine_chunks())
                small = pc.less_equal(pc.binary_length(table["object"]), MAX_VALUE_BYTES)
                dropped.append(table.filter(pc.invert(small)).select(["external_id"]))
                first_ones = todo["canary"]
                for writer, part, mask in (
                    (canary, "canary", pc.and_(small, first_ones)),
                    (rest, "rest", pc.and_(small, pc.invert(first_ones))),
                ):
                    _put(writer, part, table.filter(mask), tally)
            first += len(batch)
    tally.writes = tally.rows["canary"] + tally.rows["rest"]
    return pa.concat_tables([pa.table({"external_id": pa.array([], pa.string())}), *dropped])


def _render(
    braze: Braze, elements: Elements, batch: pa.RecordBatch, rows: NDArray[np.int64], changes: pa.ListArray
) -> pa.Table:
    changes = _plain(changes)
    lists = Lists.of(batch.column("item_ids"), elements).take(rows)
    list_changed = _names(changes, braze.attribute)
    members = [optional(render_lists(lists, elements), member(braze.attribute), list_changed)]
    points = lists.sums(elements.keys) if braze.payload == "objects" else np.ones(len(rows), dtype=np.int64)
    points = np.where(list_changed, points, 0)
    if braze.tier_attribute:
        tier_changed = _names(changes, braze.tier_attribute)
        tiers = render_texts(batch.column("tier").take(pa.array(rows)).fill_null(""))
        members.append(optional(tiers, member(braze.tier_attribute), tier_changed))
        points = points + tier_changed
    gone = _gone(changes)
    if any(gone):
        members.append(render_nulls(gone))
        points = points + np.array([len(names) for names in gone])
    external_ids = batch.column("external_id").take(pa.array(rows))
    objects = render_objects(external_ids, members, existing_only=braze.update_existing_only)
    yes = pa.array(np.ones(len(rows), dtype=np.bool_))
    columns = [external_ids, yes, pc.invert(yes), objects, pa.array(points.astype(np.int64)), changes]
    return pa.Table.from_arrays(columns, schema=WRITES)


def _plain(changes: pa.ListArray) -> pa.ListArray:
    """Rebuild the column without slices and with the plan's own field names."""
    return pa.array(changes.to_pylist(), CHANGES) if changes.type != CHANGES else changes


def _names(changes: pa.ListArray, attribute: str) -> NDArray[np.bool_]:
    """Say which rows change an attribute; shape (rows)."""
    hit = pc.equal(pc.struct_field(changes.flatten(), "attribute"), attribute)
    present = np.zeros(len(changes), dtype=np.bool_)
    parents = pc.list_parent_indices(changes).to_numpy()
    present[parents[hit.to_numpy(zero_copy_only=False)]] = True
    return present


def _gone(changes: pa.ListArray) -> list[list[str]]:
    """Name the attributes that each row removes."""
    values = changes.flatten()
    removed = pc.is_null(pc.struct_field(values, "fingerprint"))
    names: list[list[str]] = [[] for _ in range(len(changes))]
    parents = pc.list_parent_indices(changes).filter(removed).to_pylist()
    for row, name in zip(
        parents, pc.struct_field(values, "attribute").filter(removed).to_pylist(), strict=True
    ):
        names[row].append(name)
    return names


def write_removals(database: duckdb.DuckDBPyConnection, target: Path, tally: Tally) -> None:
    """Write the rows of people who lose everything they have."""
    reader = database.sql(
        "SELECT external_id, in_audience, changes FROM todo WHERE NOT has_list ORDER BY external_id"
    ).to_arrow_reader(CHUNK_ROWS)
    with _writer(target, "removals") as writer:
        for batch in reader:
            changes = _plain(batch.column("changes"))
            gone = [[change["attribute"] for change in row] for row in changes.to_pylist()]
            external_ids = batch.column("external_id").cast(pa.string())
            # Somebody deleted in Braze must not come back as an empty profile.
            objects = render_objects(external_ids, [render_nulls(gone)], existing_only=True)
            points = pa.array([len(names) for names in gone], pa.int64())
            yes = pa.array(np.ones(len(batch), dtype=np.bool_))
            columns = [external_ids, batch.column("in_audience"), yes, objects, points, changes]
            _put(writer, "removals", pa.Table.from_arrays(columns, schema=WRITES), tally)


def _writer(target: Path, part: str) -> pq.ParquetWriter:
    return pq.ParquetWriter(target / "writes" / f"{part}.parquet", WRITES, compression="zstd")


def _put(writer: pq.ParquetWriter, part: str, table: pa.Table, tally: Tally) -> None:
    if not len(table):
        return
    writer.write_table(table)
    tally.rows[part] += len(table)
    tally.data_points += pc.sum(table["data_points"]).as_py()
    tally.object_bytes += pc.sum(pc.binary_length(table["object"])).as_py()
