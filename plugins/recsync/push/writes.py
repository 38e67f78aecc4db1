"""Render and write the rows of a plan, and cut open writes into requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from braze_client.identifiers import Identifier
from braze_client.payloads import MAX_VALUE_BYTES
from recsync.push.diff import CHUNK_ROWS, PlanInputs
from recsync.push.ledger import Status
from recsync.push.plan_format import CHANGES, PARTS, WRITES
from recsync.push.rendering import (
    Elements,
    Lists,
    member,
    optional,
    read_values,
    render_nulls,
    render_objects,
)
from recsync.recommend.lists.audience import PROBLEMS, is_usable
from recsync.storage import duck

_TOO_LARGE = f"the value is over {MAX_VALUE_BYTES} bytes, which Braze drops silently"
_LEFT_OUT = pa.schema([("external_id", pa.string()), ("reason", pa.string())])


@dataclass
class WriteCounts:
    """Counts of the rows written so far."""

    rows: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    data_points: int = 0
    object_bytes: int = 0


def write_lists(
    database: duckdb.DuckDBPyConnection,
    inputs: PlanInputs,
    elements: Elements,
    target: Path,
    tally: WriteCounts,
) -> pa.Table:
    """Write the rows of users who have a list; return those that Braze would drop or refuse, with the reason."""
    dropped: list[pa.Table] = []
    first = 0
    canary, rest = (_writer(target, part) for part in ("canary", "rest"))
    with canary, rest:
        for batch in inputs.list_batches():
            todo = database.sql(
                "SELECT row, changes, row IN (SELECT row FROM canary) AS canary FROM todo "
                f"WHERE has_list AND row >= {first} AND row < {first + len(batch)} ORDER BY row"
            ).to_arrow_table()
            if len(todo):
                rows = todo["row"].to_numpy() - first
                chosen = batch.take(pa.array(rows))
                table = _render(inputs, elements, chosen, todo["changes"].combine_chunks())
                reasons = _obstacles(table, inputs.identifier)
                can_go = pc.is_null(reasons)
                left_out = table.select(["external_id"]).append_column("reason", reasons)
                dropped.append(left_out.filter(pc.invert(can_go)))
                first_ones = todo["canary"]
                for writer, part, mask in (
                    (canary, "canary", pc.and_(can_go, first_ones)),
                    (rest, "rest", pc.and_(can_go, pc.invert(first_ones))),
                ):
                    _put(writer, part, table.filter(mask), tally)
            first += len(batch)
    tally.writes = tally.rows["canary"] + tally.rows["rest"]
    return pa.concat_tables([_LEFT_OUT.empty_table(), *dropped])


def _obstacles(table: pa.Table, identifier: Identifier) -> pa.Array:
    """Return why a row (``WRITES``) cannot be sent; null: it can."""
    is_small = pc.less_equal(pc.binary_length(table["object"]), MAX_VALUE_BYTES)
    none = pa.scalar(None, pa.string())
    reasons = pc.if_else(is_small, none, _TOO_LARGE)
    usable = is_usable(table["external_id"], identifier)
    return pc.if_else(usable, reasons, PROBLEMS.get(identifier.name, none))


def _render(
    inputs: PlanInputs,
    elements: Elements,
    batch: pa.RecordBatch,
    changes: pa.ListArray,
) -> pa.Table:
    changes = _plain(changes)
    lists = Lists.of(batch.column("items"), elements)
    members, points = [], np.zeros(len(batch), dtype=np.int64)
    for attribute in inputs.braze.written:
        is_set = _sets(changes, attribute.name)
        values = read_values(attribute, batch, lists, inputs.run)
        members.append(optional(values.rendered(), member(attribute.name), is_set))
        points += np.where(is_set, values.data_points(), 0)
    if gone := _gone(changes):
        members.append(render_nulls(gone))
        points += np.array([len(names) for names in gone])
    external_ids = batch.column("external_id")
    objects = render_objects(
        external_ids,
        members,
        existing_only=not inputs.braze.creates_people,
        identifier=inputs.identifier,
    )
    yes = pa.array(np.ones(len(batch), dtype=np.bool_))
    columns = [external_ids, yes, pc.invert(yes), objects, pa.array(points), changes]
    return pa.Table.from_arrays(columns, schema=WRITES)


def _plain(changes: pa.ListArray) -> pa.ListArray:
    """Rebuild the column without slices and with the field names of ``CHANGES``."""
    return pa.array(changes.to_pylist(), CHANGES) if changes.type != CHANGES else changes


def _sets(changes: pa.ListArray, attribute: str) -> NDArray[np.bool_]:
    """Say which rows set an attribute to a new value; shape (rows)."""
    values = changes.flatten()
    named = pc.equal(pc.struct_field(values, "attribute"), attribute)
    hit = pc.and_(named, pc.is_valid(pc.struct_field(values, "fingerprint")))
    present = np.zeros(len(changes), dtype=np.bool_)
    parents = pc.list_parent_indices(changes).to_numpy()
    present[parents[hit.to_numpy(zero_copy_only=False)]] = True
    return present


def _gone(changes: pa.ListArray) -> list[list[str]]:
    """Return the attributes that each row removes; empty when no row removes any."""
    values = changes.flatten()
    removed = pc.is_null(pc.struct_field(values, "fingerprint"))
    if not pc.any(removed, min_count=0).as_py():
        return []
    names: list[list[str]] = [[] for _ in range(len(changes))]
    parents = pc.list_parent_indices(changes).filter(removed).to_pylist()
    for row, name in zip(
        parents, pc.struct_field(values, "attribute").filter(removed).to_pylist(), strict=True
    ):
        names[row].append(name)
    return names


def write_removals(
    database: duckdb.DuckDBPyConnection, target: Path, tally: WriteCounts, identifier: Identifier
) -> None:
    """Write the rows of users who lose every attribute."""
    reader = database.sql(
        "SELECT external_id, in_audience, changes FROM todo WHERE NOT has_list ORDER BY external_id"
    ).to_arrow_reader(CHUNK_ROWS)
    with _writer(target, "removals") as writer:
        for batch in reader:
            changes = _plain(batch.column("changes"))
            gone = [[change["attribute"] for change in row] for row in changes.to_pylist()]
            external_ids = batch.column("external_id").cast(pa.string())
            # A user deleted in Braze must not come back as an empty profile.
            objects = render_objects(
                external_ids, [render_nulls(gone)], existing_only=True, identifier=identifier
            )
            points = pa.array([len(names) for names in gone], pa.int64())
            yes = pa.array(np.ones(len(batch), dtype=np.bool_))
            columns = [external_ids, batch.column("in_audience"), yes, objects, points, changes]
            _put(writer, "removals", pa.Table.from_arrays(columns, schema=WRITES), tally)


def _writer(target: Path, part: str) -> pq.ParquetWriter:
    return pq.ParquetWriter(target / "writes" / f"{part}.parquet", WRITES, compression="zstd")


def _put(writer: pq.ParquetWriter, part: str, table: pa.Table, tally: WriteCounts) -> None:
    if not len(table):
        return
    writer.write_table(table)
    tally.rows[part] += len(table)
    tally.data_points += pc.sum(table["data_points"]).as_py()
    tally.object_bytes += pc.sum(pc.binary_length(table["object"])).as_py()


# Rows decoded at a time: a few milliseconds of work, a few megabytes of objects.
_CHUNK_ROWS = 15_000


@dataclass(frozen=True)
class Batch:
    """The objects of one call.

    :param rows: of the plan, ascending.
    :param objects: rendered JSON objects, one per row.
    """

    rows: tuple[int, ...]
    objects: tuple[bytes, ...]

    def halves(self) -> tuple[Batch, Batch]:
        middle = len(self.rows) // 2
        first = Batch(self.rows[:middle], self.objects[:middle])
        return first, Batch(self.rows[middle:], self.objects[middle:])

    def without(self, indices: Collection[int]) -> Batch:
        return self.only([i for i in range(len(self.rows)) if i not in indices])

    def only(self, indices: Sequence[int]) -> Batch:
        return Batch(tuple(self.rows[i] for i in indices), tuple(self.objects[i] for i in indices))


def open_batches(
    folder: Path, is_open: NDArray[np.bool_], parts: tuple[str, ...], *, max_objects: int, max_bytes: int
) -> Iterator[Batch]:
    """Cut the open rows of some parts into calls, in the plan's order.

    :param folder: the plan's files.
    :param is_open: one per row of the whole plan.
    :param max_bytes: of all objects of one call.
    """
    first = 0
    for part in PARTS:
        with pq.ParquetFile(folder / "writes" / f"{part}.parquet") as file:
            if part in parts:
                yield from _cut(file, first, is_open, max_objects, max_bytes)
            first += file.metadata.num_rows


def _cut(
    file: pq.ParquetFile, first: int, is_open: NDArray[np.bool_], max_objects: int, max_bytes: int
) -> Iterator[Batch]:
    for table in file.iter_batches(_CHUNK_ROWS, columns=["object"]):
        here = is_open[first : first + len(table)]
        rows = (np.flatnonzero(here) + first).tolist()
        objects = table.column("object").to_pylist()
        if not here.all():
            objects = [objects[row - first] for row in rows]
        yield from _by_size(rows, objects, max_objects, max_bytes)
        first += len(table)


def _by_size(rows: list[int], objects: list[bytes], max_objects: int, max_bytes: int) -> Iterator[Batch]:
    start = 0
    while start < len(rows):
        end = min(start + max_objects, len(rows))
        while end - start > 1 and sum(map(len, objects[start:end])) + end - start > max_bytes:
            end = start + (end - start) // 2
        yield Batch(tuple(rows[start:end]), tuple(objects[start:end]))
        start = end


def rows_of_newcomers(folder: Path, state: Path | None, work: Path) -> NDArray[np.bool_]:
    """Say which rows of a plan are of people of whom the last-sent state knows no value; one per row.

    Of the others Braze took a write before, so they have a profile.

    :param folder: the plan's files.
    :param work: an empty folder for temporary files.
    """
    files = [folder / "writes" / f"{part}.parquet" for part in PARTS]
    rows = [pq.read_metadata(file).num_rows for file in files]
    new = np.ones(sum(rows), dtype=np.bool_)
    if state is None:
        return new
    with duck.opened(work) as database:
        first = 0
        for file, count in zip(files, rows, strict=True):
            known = database.execute(
                f"SELECT file_row_number FROM read_parquet('{file}', file_row_number = true) SEMI JOIN "
                f"(SELECT external_id FROM read_parquet('{state}') WHERE fingerprint IS NOT NULL) USING (external_id)"
            ).fetchnumpy()["file_row_number"]
            new[first + np.asarray(known, dtype=np.int64)] = False
            first += count
    return new


def taken_lists(
    folder: Path, statuses: NDArray[np.int8], parts: tuple[str, ...], wanted: NDArray[np.bool_]
) -> Iterator[tuple[list[int], list[str]]]:
    """Yield rows and people of the lists that Braze accepted, some thousands at a time.

    :param folder: the plan's files.
    :param statuses: one per row of the whole plan.
    :param wanted: whether to yield it; one per row.
    """
    first = 0
    for part in PARTS:
        with pq.ParquetFile(folder / "writes" / f"{part}.parquet") as file:
            start, first = first, first + file.metadata.num_rows
            if part not in parts:
                continue
            for table in file.iter_batches(_CHUNK_ROWS, columns=["external_id", "removal"]):
                rows = np.arange(start, start + len(table))
                start += len(table)
                removal = table.column("removal").to_numpy(zero_copy_only=False)
                chosen = np.flatnonzero((statuses[rows] == Status.TAKEN) & ~removal & wanted[rows])
                ids: list[str] = table.column("external_id").take(pa.array(chosen)).to_pylist()
                if ids:
                    yield rows[chosen].tolist(), ids
