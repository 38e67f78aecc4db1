"""Compare published lists with the last-sent state, in DuckDB: who is written, who goes first, who has to wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.program import Braze
from recsync.push.fingerprints import list_fingerprints, text_fingerprint
from recsync.push.rendering import Elements, Lists
from recsync.push.schemas import STATE

# Rows looked at in one go: some ten megabytes with lists of ten, and long enough for numpy.
CHUNK_ROWS = 50_000
_STATE_TYPES = {"kept_since": "BIGINT"}
# DuckDB takes NaN for the largest of all numbers.
_BY_PRIORITY = "nullif(priority, 'nan'::DOUBLE) DESC NULLS LAST"


@dataclass(frozen=True)
class Inputs:
    """What a plan is made from.

    :param lists: ``lists.parquet`` of the published recommendations.
    :param catalogue: their ``catalogue.parquet``.
    :param state: Parquet file of the last-sent state (``STATE``); None when nothing was ever sent.
    :param cap: how many people may be written; None for all.
    :param canary_share: share of the writes that go first.
    :param moment: Unix seconds of the recommend run.
    :param keep_seconds: how long somebody without an answer keeps the list that Braze has.
    :param resync: take every fingerprint of the state for unknown, so that everybody is written anew.
    """

    braze: Braze
    lists: Path
    catalogue: pa.Table
    state: Path | None
    cap: int | None = None
    canary_share: float = 0.0
    moment: int = 0
    keep_seconds: int = 0
    resync: bool = False


def fingerprint_lists(inputs: Inputs, elements: Elements, wanted: Path) -> NDArray[np.bool_]:
    """Write row, fingerprint and tier fingerprint of every list; say which items are used."""
    used = np.zeros(len(elements.item_ids), dtype=np.bool_)
    schema = pa.schema([("row", pa.int64()), ("fingerprint", pa.uint64()), ("tier", pa.uint64())])
    first = 0
    with pq.ParquetWriter(wanted, schema, compression="none") as writer:
        for batch in list_batches(inputs.lists, ["item_ids", "tier"]):
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


def list_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    names = pq.ParquetFile(path).schema.to_arrow_schema()
    element = f"item_ids.list.{names.field('item_ids').type.value_field.name}"
    # Ids repeat by the thousand: read as codes, each is looked up in the catalogue once per row group.
    with pq.ParquetFile(path, read_dictionary=[element], memory_map=True) as file:
        for group in range(file.num_row_groups):
            # Each row group has a dictionary of its own; Arrow cannot put two into one nested column.
            yield from file.iter_batches(CHUNK_ROWS, row_groups=[group], columns=columns)


def compare(database: duckdb.DuckDBPyConnection, inputs: Inputs, work: Path) -> None:
    """Make the table ``person``: everyone of the audience or of the state, with what changes.

    ``kept_since`` is null for everybody whom the batch output answers; ``kept`` says who of the others keeps the list.
    One join per attribute, and no aggregate that would hold lists: joins spill, and most states know one attribute.
    """
    columns = pq.read_schema(inputs.lists).names
    # Lists that were published before this column existed hold answers only.
    unanswered = "l.unanswered" if "unanswered" in columns else "''"
    database.execute(
        "CREATE VIEW people AS SELECT l.external_id, l.reason, l.priority, w.row, w.fingerprint, w.tier, "
        f"coalesce({unanswered}, '') AS unanswered "
        f"FROM read_parquet('{inputs.lists}', file_row_number = true) l "
        f"JOIN read_parquet('{work / 'wanted.parquet'}') w ON w.row = l.file_row_number"
    )
    if inputs.state is None:
        database.register("state", STATE.empty_table())
    else:
        fingerprint = "NULL::UBIGINT" if inputs.resync else "fingerprint"
        database.execute(
            f"CREATE VIEW state AS SELECT * REPLACE ({fingerprint} AS fingerprint) "
            f"FROM ({select_state(inputs.state)})"
        )
    wanted = {inputs.braze.attribute: "p.fingerprint"}
    if inputs.braze.tier_attribute:
        wanted[inputs.braze.tier_attribute] = "p.tier"
    known = [attribute for (attribute,) in rows_of(database, "SELECT DISTINCT attribute FROM state")]
    attributes = [
        _Attribute(number, name, wanted.get(name, "NULL::UBIGINT"))
        for number, name in enumerate(sorted({*wanted, *known}))
    ]
    who, joins = "p.external_id", ""
    for attribute in attributes:
        joins += f" FULL JOIN {attribute.state} ON {who} = {attribute.alias}.external_id"
        who = f"coalesce({who}, {attribute.alias}.external_id)"
    changed = " OR ".join(attribute.changed for attribute in attributes)
    changes = ", ".join(attribute.change for attribute in attributes)
    shown = next(a.alias for a in attributes if a.name == inputs.braze.attribute)
    since = f"coalesce({shown}.kept_since, {inputs.moment})"
    # Of an unknown list nobody can say that it is worth keeping; it stays only where there is nothing else to write.
    kept = (
        f"(coalesce(p.unanswered, '') <> '' AND {shown}.present IS NOT NULL "
        f"AND {inputs.moment} - {since} < {inputs.keep_seconds} "
        f"AND ({shown}.fingerprint IS NOT NULL OR p.fingerprint IS NULL))"
    )
    database.execute(
        f"CREATE TABLE person AS SELECT {who} AS external_id, p.row, p.external_id IS NOT NULL AS in_audience, "
        f"p.fingerprint IS NOT NULL AS has_list, p.reason, p.priority, p.unanswered, coalesce({kept}, false) AS kept, "
        f"CASE WHEN {kept} THEN {since} WHEN p.unanswered <> '' THEN 0 END AS kept_since, "
        f"CASE WHEN {kept} THEN NULL WHEN {changed} THEN list_concat({changes}) END AS changes FROM people p{joins}"
    )


def select_state(path: Path) -> str:
    """Write the query that reads a last-sent state, also one of before a column existed."""
    held = pq.read_schema(path).names
    columns = (name if name in held else f"NULL::{_STATE_TYPES[name]} AS {name}" for name in STATE.names)
    return f"SELECT {', '.join(columns)} FROM read_parquet('{path}')"


@dataclass(frozen=True)
class _Attribute:
    """One attribute of the state or of the lists, in SQL.

    :param wanted: expression for the fingerprint that it should have; NULL when it should not be there.
    """

    number: int
    name: str
    wanted: str

    @property
    def alias(self) -> str:
        return f"s{self.number}"

    @property
    def state(self) -> str:
        columns = "external_id, fingerprint, kept_since, true AS present"
        return f"(SELECT {columns} FROM state WHERE attribute = {self._literal}) {self.alias}"

    @property
    def _literal(self) -> str:
        return "'" + self.name.replace("'", "''") + "'"

    @property
    def changed(self) -> str:
        # Of an unknown fingerprint nobody knows what is there: present, and unlike anything.
        return (
            f"(({self.wanted}) IS NULL AND {self.alias}.present IS NOT NULL OR "
            f"({self.wanted}) IS NOT NULL AND {self.alias}.fingerprint IS DISTINCT FROM ({self.wanted}))"
        )

    @property
    def change(self) -> str:
        entry = f"[{{attribute: {self._literal}, fingerprint: {self.wanted}}}]"
        return f"CASE WHEN {self.changed} THEN {entry} ELSE [] END"


def choose(database: duckdb.DuckDBPyConnection, inputs: Inputs) -> None:
    """Make the tables ``deferred`` and ``canary``: ids over the cap, and ids that go first."""
    order = f"has_list, {_BY_PRIORITY}, hash(external_id), external_id"
    offset = "LIMIT 0" if inputs.cap is None else f"OFFSET {int(inputs.cap)}"
    database.execute(
        f"CREATE TABLE deferred AS SELECT external_id FROM person WHERE changes IS NOT NULL ORDER BY {order} {offset}"
    )
    database.execute(
        "CREATE VIEW todo AS SELECT * FROM person WHERE changes IS NOT NULL "
        "AND external_id NOT IN (SELECT external_id FROM deferred)"
    )
    writes = value(database, "SELECT count(*) FROM todo WHERE has_list")
    share = int(np.ceil(writes * inputs.canary_share))
    database.execute(
        "CREATE TABLE canary AS SELECT row FROM todo WHERE has_list "
        f"ORDER BY hash(external_id), external_id LIMIT {share}"
    )


def value(database: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(rows_of(database, query)[0][0])


def rows_of(database: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return database.execute(query).fetchall()
