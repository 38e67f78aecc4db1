"""Render and write the rows of a plan, and cut open writes into requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, overload

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
from recsync.storage.hashes import number_column, numbers_of, text_column

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
    with _PartWriter(target, "canary", tally) as canary, _PartWriter(target, "rest", tally) as rest:
        for batch, todo in _to_write(database, inputs):
            table = _render(inputs, elements, batch, todo["changes"].combine_chunks())
            reasons = _obstacles(table, inputs.identifier)
            can_go = pc.is_null(reasons)
            left_out = table.select(["external_id"]).append_column("reason", reasons)
            dropped.append(left_out.filter(pc.invert(can_go)))
            canary.put(table.filter(pc.and_(can_go, todo["canary"])))
            rest.put(table.filter(pc.and_(can_go, pc.invert(todo["canary"]))))
    tally.writes = tally.rows["canary"] + tally.rows["rest"]
    return pa.concat_tables([_LEFT_OUT.empty_table(), *dropped])


def _to_write(
    database: duckdb.DuckDBPyConnection, inputs: PlanInputs
) -> Iterator[tuple[pa.RecordBatch, pa.Table]]:
    """Yield the users who get something, in the order of the lists, and beside each what changes."""
    reader = database.sql(
        "SELECT row, changes, row IN (SELECT row FROM canary) AS canary FROM todo WHERE has_list ORDER BY row"
    ).to_arrow_reader(CHUNK_ROWS)
    todo, first = reader.schema.empty_table(), 0
    for batch in inputs.list_batches():
        end = first + len(batch)
        while (not len(todo) or todo["row"][-1].as_py() < end) and (more := next(reader, None)) is not None:
            todo = pa.concat_tables([todo, pa.Table.from_batches([more])])
        count = int(np.searchsorted(todo["row"].to_numpy(), end))
        if count:
            here = todo.slice(0, count).combine_chunks()
            yield batch.take(pa.array(here["row"].to_numpy() - first)), here
            todo = todo.slice(count)
        first = end


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
    reasons = pa.nulls(len(batch), pa.string())
    columns = [external_ids, yes, pc.invert(yes), objects, pa.array(points), changes, reasons]
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
        "SELECT external_id, in_audience, changes, CASE WHEN held_out THEN reason END AS reason "
        "FROM todo WHERE NOT has_list ORDER BY external_id"
    ).to_arrow_reader(CHUNK_ROWS)
    with _PartWriter(target, "removals", tally) as writer:
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
            reasons = batch.column("reason").cast(pa.string())
            columns = [external_ids, batch.column("in_audience"), yes, objects, points, changes, reasons]
            writer.put(pa.Table.from_arrays(columns, schema=WRITES))


# Columns with few values; a dictionary of ids, objects or fingerprints takes as long as their compression.
_REPEATED = ["in_audience", "removal", "data_points", "changes.list.element.attribute", "reason"]


class _PartWriter:
    """Write and count the rows of one part, in a separate thread while the next rows are rendered."""

    def __init__(self, target: Path, part: str, tally: WriteCounts) -> None:
        path = target / "writes" / f"{part}.parquet"
        self._writer = pq.ParquetWriter(path, WRITES, compression="zstd", use_dictionary=_REPEATED)
        self._part = part
        self._tally = tally
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._writing is not None and kind is None:
                self._writing.result()
        finally:
            self._thread.shutdown()
            self._writer.close()

    def put(self, table: pa.Table) -> None:
        if not len(table):
            return
        if self._writing is not None:
            self._writing.result()
        self._writing = self._thread.submit(self._writer.write_table, table)
        self._tally.rows[self._part] += len(table)
        self._tally.data_points += pc.sum(table["data_points"]).as_py()
        self._tally.object_bytes += pc.sum(pc.binary_length(table["object"])).as_py()


# As Arrow's scalar: it would make one of a Python value by importing pandas.
_COMMA = text_column([","]).cast(pa.binary())[0]
# Rows decoded at a time: a hundred calls, in a few milliseconds; 20 MB where lists are of ten objects.
_CHUNK_ROWS = 7_500


@dataclass(frozen=True)
class Batch:
    """The objects of one call.

    :param rows: of the plan, ascending.
    :param objects: rendered JSON objects, one per row.
    """

    rows: Sequence[int]
    objects: Sequence[bytes]

    def halves(self) -> tuple[Batch, Batch]:
        middle = len(self.rows) // 2
        return self.only(range(middle)), self.only(range(middle, len(self.rows)))

    def without(self, indices: Collection[int]) -> Batch:
        return self.only([i for i in range(len(self.rows)) if i not in indices])

    def only(self, indices: Sequence[int]) -> Batch:
        """Copy some of the objects, so that a batch that is put aside does not keep its whole chunk in memory."""
        return Batch(tuple(self.rows[i] for i in indices), tuple(self.objects[i] for i in indices))


class _ArrowObjects(Sequence[bytes]):
    """The objects of one call, joined by Arrow, which costs a tenth of a Python object for each.

    They are taken apart only where an answer leaves something open.
    """

    __slots__ = ("_column", "joined")

    def __init__(self, column: pa.Array, joined: bytes) -> None:
        self._column = column
        self.joined = joined

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        found: bytes | list[bytes] = (
            self._column[place].to_pylist() if isinstance(place, slice) else self._column[place].as_py()
        )
        return found


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
    # One column is not decoded sooner by several threads, and costs a third more.
    for table in file.iter_batches(_CHUNK_ROWS, columns=["object"], use_threads=False):
        here = is_open[first : first + len(table)]
        rows: Sequence[int] = range(first, first + len(table))
        objects = table.column("object")
        if not here.all():
            chosen = np.flatnonzero(here)
            rows, objects = (chosen + first).tolist(), objects.take(number_column(chosen))
        cuts = _by_size(numbers_of(pc.binary_length(objects)).astype(np.int64), max_objects, max_bytes)
        calls = pa.ListArray.from_arrays(number_column(np.array(cuts, np.int32)), objects)
        for start, end, joined in zip(cuts, cuts[1:], pc.binary_join(calls, _COMMA), strict=False):
            yield Batch(rows[start:end], _ArrowObjects(objects[start:end], joined.as_py()))
        first += len(table)


def _by_size(lengths: NDArray[np.int64], max_objects: int, max_bytes: int) -> list[int]:
    """Return where calls begin, and at the end where the last one ends."""
    # A comma after each object.
    ends, cuts = np.concatenate(([0], np.cumsum(lengths + 1, dtype=np.int64))), [0]
    while (start := cuts[-1]) < len(lengths):
        end = min(start + max_objects, len(lengths))
        while end - start > 1 and ends[end] - ends[start] > max_bytes:
            end = start + (end - start) // 2
        cuts.append(end)
    return cuts


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
                removal = np.array(table.column("removal").to_pylist(), np.bool_)
                chosen = np.flatnonzero((statuses[rows] == Status.TAKEN) & ~removal & wanted[rows])
                ids: list[str] = table.column("external_id").take(number_column(chosen)).to_pylist()
                if ids:
                    yield rows[chosen].tolist(), ids
