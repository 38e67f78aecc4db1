"""Plan a delivery: compare published lists with the last-sent state, columnar and out of core.

Braze is never asked. What has to be written is rendered once, here: the delivery only posts it.

writes/canary.parquet, removals.parquet, rest.parquet   sent in this order; a write's row counts through all three
settled.parquet                                         people of the audience who need no write
items.parquet                                           the items that somebody's list points at
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.core import duck
from recsync.core.delivery.fingerprints import list_fingerprints, text_fingerprint
from recsync.core.delivery.outcomes import Outcome
from recsync.core.delivery.rendering import (
    Elements,
    Lists,
    member,
    optional,
    render_lists,
    render_nulls,
    render_objects,
    render_texts,
)
from recsync.core.payloads import MAX_VALUE_BYTES
from recsync.core.program import Braze

PARTS = ("canary", "removals", "rest")
CHANGES = pa.list_(pa.struct([("attribute", pa.string()), ("fingerprint", pa.uint64())]))
WRITES = pa.schema(
    [
        ("external_id", pa.string()),
        ("in_audience", pa.bool_()),
        ("removal", pa.bool_()),
        ("object", pa.binary()),
        ("data_points", pa.int64()),
        ("changes", CHANGES),
    ]
)
SETTLED = pa.schema([("external_id", pa.string()), ("outcome", pa.string()), ("reason", pa.string())])
STATE = pa.schema(
    [
        ("external_id", pa.string()),
        ("attribute", pa.string()),
        # Null: something may have been written, nobody knows what; the next plan writes it anew.
        ("fingerprint", pa.uint64()),
        ("delivery", pa.string()),
    ]
)
# Rows looked at in one go: some ten megabytes with lists of ten, and long enough for numpy.
_CHUNK_ROWS = 50_000
# DuckDB takes NaN for the largest of all numbers.
_NO_PRIORITY = "nullif(priority, 'nan'::DOUBLE) DESC NULLS LAST"


@dataclass(frozen=True)
class Inputs:
    """What a plan is made from.

    :param lists: ``lists.parquet`` of the published recommendations.
    :param catalogue: their ``catalogue.parquet``.
    :param state: Parquet file of the last-sent state (``STATE``); None when nothing was ever sent.
    :param cap: how many people may be written; None for all.
    :param canary_share: share of the writes that go first.
    """

    braze: Braze
    lists: Path
    catalogue: pa.Table
    state: Path | None
    cap: int | None = None
    canary_share: float = 0.0


@dataclass(frozen=True)
class Figures:
    """What a plan amounts to.

    :param audience: people of the run; each is in exactly one of ``writes``, ``removals`` and ``settled``.
    :param rows: writes by part, in the order sent; those of people outside the audience among them.
    :param writes: people of the audience who get something.
    :param removals: people of the audience who lose the attribute.
    :param left_audience: people outside the audience who lose it.
    :param settled: people who need no write, by outcome.
    :param reasons: people without a list, and people who cannot be sent, by reason.
    :param object_bytes: of all rendered writes.
    """

    audience: int
    rows: dict[str, int]
    writes: int
    removals: int
    left_audience: int
    settled: dict[str, int]
    reasons: dict[str, int]
    data_points: int
    object_bytes: int

    @property
    def total_rows(self) -> int:
        """How many writes there are."""
        return sum(self.rows.values())

    def as_json(self) -> dict[str, Any]:
        """Give a JSON object."""
        return asdict(self)


@dataclass
class _Tally:
    rows: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    data_points: int = 0
    object_bytes: int = 0


def plan_files(inputs: Inputs, target: Path, work: Path) -> Figures:
    """Write the plan's files into ``target``.

    :param work: an empty folder for what is spilled.
    """
    (target / "writes").mkdir(parents=True, exist_ok=True)
    elements = Elements.of(inputs.braze, inputs.catalogue)
    used = _fingerprint_lists(inputs, elements, work / "wanted.parquet")
    items = inputs.catalogue.append_column("used", pa.array(used))
    pq.write_table(items, target / "items.parquet", compression="zstd")
    with duck.opened(work) as database:
        _compare(database, inputs, work)
        _choose(database, inputs)
        return _write(database, inputs, elements, target)


def _fingerprint_lists(inputs: Inputs, elements: Elements, wanted: Path) -> NDArray[np.bool_]:
    """Write row, fingerprint and tier fingerprint of every list; say which items are used."""
    used = np.zeros(len(elements.item_ids), dtype=np.bool_)
    schema = pa.schema([("row", pa.int64()), ("fingerprint", pa.uint64()), ("tier", pa.uint64())])
    first = 0
    with pq.ParquetWriter(wanted, schema, compression="none") as writer:
        for batch in _list_batches(inputs.lists, ["item_ids", "tier"]):
            lists = Lists.of(batch.column("item_ids"), elements)
            used[lists.positions] = True
            empty = np.diff(lists.offsets) == 0
            digests = list_fingerprints(elements.fingerprints[lists.positions], lists.offsets)
            rows = pa.array(np.arange(first, first + len(batch)))
            tiers = _tier_fingerprints(batch.column("tier"), empty)
            column = pa.array(digests, mask=empty)
            writer.write_batch(pa.record_batch([rows, column, tiers], schema=schema))
            first += len(batch)
    return used


def _tier_fingerprints(tiers: pa.Array, empty: NDArray[np.bool_]) -> pa.Array:
    codes = tiers.fill_null("").dictionary_encode()
    known = np.array([text_fingerprint(t) for t in codes.dictionary.to_pylist()], dtype=np.uint64)
    indices = codes.indices.to_numpy(zero_copy_only=False)
    digests = known[indices] if len(known) else np.zeros(len(tiers), dtype=np.uint64)
    return pa.array(digests, mask=empty)


def _list_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    names = pq.ParquetFile(path).schema.to_arrow_schema()
    element = f"item_ids.list.{names.field('item_ids').type.value_field.name}"
    # Ids repeat by the thousand: read as codes, each is looked up in the catalogue once per row group.
    with pq.ParquetFile(path, read_dictionary=[element], memory_map=True) as file:
        for group in range(file.num_row_groups):
            # Each row group has a dictionary of its own; Arrow cannot put two into one nested column.
            yield from file.iter_batches(_CHUNK_ROWS, row_groups=[group], columns=columns)


def _compare(database: duckdb.DuckDBPyConnection, inputs: Inputs, work: Path) -> None:
    """Make the table ``person``: everyone of the audience or of the state, with what changes."""
    database.execute(
        "CREATE VIEW people AS SELECT l.external_id, l.reason, l.priority, w.row, w.fingerprint, w.tier "
        f"FROM read_parquet('{inputs.lists}', file_row_number = true) l "
        f"JOIN read_parquet('{work / 'wanted.parquet'}') w ON w.row = l.file_row_number"
    )
    if inputs.state is None:
        database.register("state", STATE.empty_table())
    else:
        database.execute(f"CREATE VIEW state AS SELECT * FROM read_parquet('{inputs.state}')")
    wanted = _select_attribute(inputs.braze.attribute, "fingerprint")
    if inputs.braze.tier_attribute:
        wanted += f" UNION ALL {_select_attribute(inputs.braze.tier_attribute, 'tier')}"
    database.execute(
        "CREATE TABLE change AS SELECT coalesce(w.external_id, s.external_id) AS external_id, "
        "list({attribute: coalesce(w.attribute, s.attribute), fingerprint: w.fingerprint} "
        "     ORDER BY coalesce(w.attribute, s.attribute)) AS changes "
        f"FROM ({wanted}) w FULL JOIN state s ON w.external_id = s.external_id AND w.attribute = s.attribute "
        "WHERE w.external_id IS NULL OR s.external_id IS NULL OR s.fingerprint IS DISTINCT FROM w.fingerprint "
        "GROUP BY 1"
    )
    database.execute(
        "CREATE TABLE person AS SELECT coalesce(p.external_id, c.external_id) AS external_id, p.row, "
        "p.external_id IS NOT NULL AS in_audience, p.fingerprint IS NOT NULL AS has_list, p.reason, p.priority, "
        "c.changes FROM people p FULL JOIN change c ON p.external_id = c.external_id"
    )


def _select_attribute(attribute: str, column: str) -> str:
    # Attribute names are letters, digits, "_" and "-": the program model allows nothing else.
    return (
        f"SELECT external_id, '{attribute}' AS attribute, {column} AS fingerprint "
        f"FROM people WHERE {column} IS NOT NULL"
    )


def _choose(database: duckdb.DuckDBPyConnection, inputs: Inputs) -> None:
    """Make the tables ``deferred`` and ``canary``: ids over the cap, and ids that go first."""
    order = f"has_list, {_NO_PRIORITY}, hash(external_id), external_id"
    offset = "LIMIT 0" if inputs.cap is None else f"OFFSET {int(inputs.cap)}"
    database.execute(
        f"CREATE TABLE deferred AS SELECT external_id FROM person WHERE changes IS NOT NULL ORDER BY {order} {offset}"
    )
    database.execute(
        "CREATE VIEW todo AS SELECT * FROM person WHERE changes IS NOT NULL "
        "AND external_id NOT IN (SELECT external_id FROM deferred)"
    )
    writes = _value(database, "SELECT count(*) FROM todo WHERE has_list")
    share = int(np.ceil(writes * inputs.canary_share))
    database.execute(
        "CREATE TABLE canary AS SELECT row FROM todo WHERE has_list "
        f"ORDER BY hash(external_id), external_id LIMIT {share}"
    )


def _write(database: duckdb.DuckDBPyConnection, inputs: Inputs, elements: Elements, target: Path) -> Figures:
    tally = _Tally()
    too_large = _write_lists(database, inputs, elements, target, tally)
    _write_removals(database, target, tally)
    database.register("too_large", too_large)
    reason = f"the value is over {MAX_VALUE_BYTES} bytes, which Braze drops silently"
    database.execute(
        "COPY ("
        "SELECT external_id, "
        f"  CASE WHEN has_list THEN '{Outcome.UNCHANGED}' ELSE '{Outcome.SUPPRESSED}' END AS outcome, "
        "  CASE WHEN has_list THEN '' ELSE coalesce(reason, '') END AS reason FROM person WHERE changes IS NULL "
        f"UNION ALL SELECT external_id, '{Outcome.DEFERRED}', 'over the cap of the program file' "
        "  FROM deferred SEMI JOIN (SELECT external_id FROM person WHERE in_audience) USING (external_id) "
        f"UNION ALL SELECT external_id, '{Outcome.REJECTED}', '{reason}' FROM too_large "
        f") TO '{target / 'settled.parquet'}' (FORMAT parquet, COMPRESSION zstd)"
    )
    settled = f"read_parquet('{target / 'settled.parquet'}')"
    return Figures(
        audience=_value(database, "SELECT count(*) FROM person WHERE in_audience"),
        rows={part: tally.rows[part] for part in PARTS},
        writes=tally.writes,
        removals=_value(database, "SELECT count(*) FROM todo WHERE in_audience AND NOT has_list"),
        left_audience=_value(database, "SELECT count(*) FROM todo WHERE NOT in_audience"),
        settled=dict(_rows(database, f"SELECT outcome, count(*) FROM {settled} GROUP BY 1 ORDER BY 1")),
        reasons=dict(
            _rows(database, f"SELECT reason, count(*) FROM {settled} WHERE reason <> '' GROUP BY 1 ORDER BY 2 DESC, 1")
        ),
        data_points=tally.data_points,
        object_bytes=tally.object_bytes,
    )  # fmt: skip


def _write_lists(
    database: duckdb.DuckDBPyConnection, inputs: Inputs, elements: Elements, target: Path, tally: _Tally
) -> pa.Table:
    """Write the rows of people who have a list; return those that Braze would drop."""
    dropped: list[pa.Table] = []
    first = 0
    canary, rest = (_writer(target, part) for part in ("canary", "rest"))
    with canary, rest:
        for batch in _list_batches(inputs.lists, ["external_id", "item_ids", "tier"]):
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


def _write_removals(database: duckdb.DuckDBPyConnection, target: Path, tally: _Tally) -> None:
    """Write the rows of people who lose everything they have."""
    reader = database.sql(
        "SELECT external_id, in_audience, changes FROM todo WHERE NOT has_list ORDER BY external_id"
    ).to_arrow_reader(_CHUNK_ROWS)
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


def _put(writer: pq.ParquetWriter, part: str, table: pa.Table, tally: _Tally) -> None:
    if not len(table):
        return
    writer.write_table(table)
    tally.rows[part] += len(table)
    tally.data_points += pc.sum(table["data_points"]).as_py()
    tally.object_bytes += pc.sum(pc.binary_length(table["object"])).as_py()


def _value(database: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(_rows(database, query)[0][0])


def _rows(database: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return database.execute(query).fetchall()
