"""Compare published lists with the last-sent state in DuckDB: changes, canary and deferred users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from braze_client.identifiers import EXTERNAL_ID, Identifier
from recsync.program import Braze
from recsync.push.plan_format import STATE
from recsync.push.rendering import Elements, Lists, read_values
from recsync.recommend.lists.list_partition import LISTS

# Rows per batch: some megabytes with lists of ten, and long enough for numpy.
CHUNK_ROWS = 25_000
_STATE_TYPES = {"kept_since": "BIGINT", "confirmed_at": "BIGINT"}
# The columns of lists that the comparison looks at, and those of them with few values.
_WANTED = ("external_id", "reason", "priority", "unanswered")
_REPEATED = ("reason", "unanswered")
# DuckDB sorts NaN above all numbers.
_BY_PRIORITY = "nullif(priority, 'nan'::DOUBLE) DESC NULLS LAST"


@dataclass(frozen=True)
class PlanInputs:
    """The input of a plan.

    :param lists: Parquet file of the published ``LISTS``.
    :param catalogue: their ``CATALOG``.
    :param state: Parquet file of the last-sent state (``STATE``); None when nothing was ever sent.
    :param cap: most users to write; None for all.
    :param canary_share: share of the writes that go first.
    :param moment: Unix seconds of the recommend run.
    :param keep_seconds: how long a user without an answer keeps the list that Braze has.
    :param refresh_seconds: from which age on the date of an unchanged list is written again; None: never.
    :param oldest: remove the lists that were confirmed before these Unix seconds, and compare nothing; None: compare.
    :param resync: treat every fingerprint of the state as unknown, so that every user is written.
    :param run: the recommendations' manifest: the texts in it, and the texts by arm, by field.
    :param held_out: arms of held-out people, who get no list and lose an existing one.
    :param identifier: of the people in ``lists`` and ``state``.
    """

    braze: Braze
    lists: Path
    catalogue: pa.Table
    state: Path | None
    cap: int | None = None
    canary_share: float = 0.0
    moment: int = 0
    keep_seconds: int = 0
    refresh_seconds: int | None = None
    oldest: int | None = None
    resync: bool = False
    run: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()
    identifier: Identifier = EXTERNAL_ID

    def list_batches(self, *others: str) -> Iterator[pa.RecordBatch]:
        """Read the users, what their attributes are made from, and other columns.

        The rows are numbered through all batches.
        """
        columns = {"external_id", *others, *(c for a in self.braze.written for c in a.source.columns)}
        with pq.ParquetFile(self.lists, read_dictionary=_REPEATED) as file:
            # Several threads do not decode these few columns sooner, and keep 20 MB.
            yield from file.iter_batches(
                CHUNK_ROWS, columns=[name for name in LISTS.names if name in columns], use_threads=False
            )


@dataclass(frozen=True)
class WantedLists:
    """Facts about the published lists that no plan file holds.

    :param used: which items of the catalogue are in a list; shape (items).
    :param without: attributes without a value in any list, for instance when no scores were read. A user keeps them
        until the next change of the list; then they are removed as outdated.
    """

    used: NDArray[np.bool_]
    without: frozenset[str]


def fingerprint_lists(inputs: PlanInputs, elements: Elements, wanted: Path) -> WantedLists:
    """Write every row and its fingerprints: one column per attribute of the program, null without a value.

    The rows are written again, because DuckDB would need memory for a join with the lists by their row.
    """
    used = np.zeros(len(elements.keys), dtype=np.bool_)
    attributes = inputs.braze.written
    filled = np.zeros(len(attributes), dtype=np.int64)
    columns = [(_column(number), pa.uint64()) for number in range(len(attributes))]
    named = [*_WANTED, "arm"] if inputs.held_out else _WANTED
    types = {**dict.fromkeys(named, pa.string()), "priority": pa.float64()}
    types |= dict.fromkeys(_REPEATED, pa.dictionary(pa.int32(), pa.string()))
    schema = pa.schema([("row", pa.int64()), *columns, *((name, types[name]) for name in named)])
    first = 0
    with pq.ParquetWriter(
        wanted, schema, compression="none", use_dictionary=[*_REPEATED, "arm"], write_statistics=False
    ) as writer:
        for batch in inputs.list_batches(*named):
            lists = Lists.of(batch.column("items"), elements)
            used[lists.positions] = True
            empty = np.diff(lists.offsets) == 0
            arrays = [pa.array(np.arange(first, first + len(batch)))]
            for attribute in attributes:
                digests, missing = read_values(attribute, batch, lists, inputs.run).fingerprints()
                arrays.append(pa.array(digests, mask=missing | empty))
            filled += [len(batch) - array.null_count for array in arrays[1:]]
            arrays += [batch[name] for name in named]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            first += len(batch)
    without = [a.name for a, values in zip(attributes, filled, strict=True) if filled[0] and not values]
    return WantedLists(used, frozenset(without))


def _column(number: int) -> str:
    return f"wanted_{number}"


def compare(
    database: duckdb.DuckDBPyConnection,
    inputs: PlanInputs,
    wanted: Path,
    person: Path,
    without: frozenset[str],
) -> None:
    """Write the rows of ``person``: every user of the audience or of the state, and what changes.

    ``kept_since`` is null for users with an answer in the batch output; ``kept``: the user keeps the list.
    One join per attribute and no aggregate over lists: joins spill to disk, and most states know one attribute.

    :param wanted: the file of :func:`fingerprint_lists`.
    :param person: Parquet file to write.
    :param without: see :class:`WantedLists`.
    """
    columns = {attribute.name: _column(n) for n, attribute in enumerate(inputs.braze.written)}
    database.execute(
        f"CREATE VIEW people AS SELECT external_id, reason, priority, row, {', '.join(columns.values())}, "
        "coalesce(unanswered, '') AS unanswered, "
        f"{_is_held_out(inputs.held_out)} AS held_out FROM read_parquet('{wanted}')"
    )
    if inputs.state is None:
        database.register("state", STATE.empty_table())
    else:
        fingerprint = "NULL::UBIGINT" if inputs.resync else "fingerprint"
        database.execute(
            f"CREATE VIEW state AS SELECT * REPLACE ({fingerprint} AS fingerprint) "
            f"FROM ({select_state(inputs.state)})"
        )
    known = [attribute for (attribute,) in rows_of(database, "SELECT DISTINCT attribute FROM state")]
    joined = [
        _JoinedAttribute(f"s{number}", name, f"p.{columns[name]}" if name in columns else "NULL::UBIGINT")
        for number, name in enumerate(sorted({*columns, *known}))
    ]
    has_list = f"p.{_column(0)} IS NOT NULL"
    waiting = {a.name for a in inputs.braze.written if not a.source.alone} | without
    alone = " OR ".join(a.differs for a in joined if a.name not in waiting)
    changes = {
        a.name: f"({a.differs} AND ({alone} OR NOT ({has_list})))" if a.name in waiting else a.differs
        for a in joined
    }
    # The date of an unchanged list, before it looks too old.
    due = "false"
    for a in joined if inputs.refresh_seconds is not None else ():
        if a.name in {each.name for each in inputs.braze.written if each.source.ages} - without:
            old = f"coalesce({inputs.moment} - {a.alias}.confirmed_at >= {inputs.refresh_seconds}, true)"
            changes[a.name] = f"({changes[a.name]} OR ({a.differs} AND {old}))"
            due = f"NOT ({alone})"
    who, joins = "p.external_id", ""
    for attribute in joined:
        joins += f" FULL JOIN {attribute.table} ON {who} = {attribute.alias}.external_id"
        who = f"coalesce({who}, {attribute.alias}.external_id)"
    changed = " OR ".join(changes.values())
    entries = ", ".join(f"CASE WHEN {changes[a.name]} THEN {a.change} ELSE [] END" for a in joined)
    shown = next(a.alias for a in joined if a.name == inputs.braze.attribute)
    since = f"coalesce({shown}.kept_since, {inputs.moment})"
    # An unknown list may not be worth keeping; it stays only if there is nothing else to write.
    kept = (
        f"(coalesce(p.unanswered, '') <> '' AND {shown}.present IS NOT NULL "
        f"AND {inputs.moment} - {since} < {inputs.keep_seconds} "
        f"AND ({shown}.fingerprint IS NOT NULL OR NOT ({has_list})))"
    )
    held = " OR ".join(f"{a.alias}.present" for a in joined)
    # A table would be held in memory, up to DuckDB's limit; a file is read a few columns at a time.
    database.execute(
        f"COPY (SELECT {who} AS external_id, p.row, p.external_id IS NOT NULL AS in_audience, "
        f"{has_list} AS has_list, p.reason, p.priority, p.unanswered, coalesce({kept}, false) AS kept, "
        f"CASE WHEN {kept} THEN {since} WHEN p.unanswered <> '' THEN 0 END AS kept_since, "
        f"coalesce(p.held_out, false) AS held_out, coalesce({held}, false) AS had_list, "
        f"CASE WHEN {kept} THEN NULL WHEN {changed} THEN list_concat({entries}) END AS changes, "
        f"coalesce({has_list} AND {due}, false) AS only_date FROM people p{joins}"
        f") TO '{person}' (FORMAT parquet, COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 1000, ROW_GROUP_SIZE 20480)"
    )


def _is_held_out(arms: Sequence[str]) -> str:
    """Return the SQL expression for whether a person of the lists is in one of these arms."""
    return f"coalesce(arm IN ({', '.join(map(_literal, arms))}), false)" if arms else "false"


UNKNOWN_AGE = "the age of the list is not known before the next push"


def expire(database: duckdb.DuckDBPyConnection, inputs: PlanInputs) -> None:
    """Create the table ``person`` for a removal of old lists: everybody in the state is its audience.

    A list is as old as the newest recommendations that confirm any value of the person. Who has no value of known age
    keeps the list: a state of an earlier version knows none before the next push.
    """
    state = select_state(inputs.state) if inputs.state else "SELECT * FROM nothing"
    database.register("nothing", STATE.empty_table())
    database.execute(f"CREATE VIEW state AS {state}")
    gone = "list({attribute: attribute, fingerprint: NULL::UBIGINT} ORDER BY attribute)"
    database.execute(
        "CREATE TEMP TABLE person AS SELECT external_id, NULL::BIGINT AS row, true AS in_audience, true AS had_list, "
        f"NOT coalesce(confirmed < {inputs.oldest}, false) AS has_list, '' AS reason, NULL::DOUBLE AS priority, "
        f"'{UNKNOWN_AGE}' AS unanswered, confirmed IS NULL AS kept, NULL::BIGINT AS kept_since, "
        "false AS held_out, false AS only_date, "
        f"CASE WHEN confirmed < {inputs.oldest} THEN gone END AS changes "
        f"FROM (SELECT external_id, max(confirmed_at) AS confirmed, {gone} AS gone FROM state GROUP BY external_id)"
    )


def count_ages(
    database: duckdb.DuckDBPyConnection, state: Path, now: int, allowed: int
) -> tuple[int, int, int, int]:
    """Count the people of a last-sent state: all, with an ageing list, with a too old one, with one of unknown age.

    A list is ageing from half the allowed age on.

    :param now: Unix seconds; ``allowed``: seconds.
    """
    people, ageing, too_old, unknown = rows_of(
        database,
        f"SELECT count(*), count(*) FILTER ({now} - confirmed BETWEEN {allowed // 2} AND {allowed}), "
        f"count(*) FILTER ({now} - confirmed > {allowed}), count(*) FILTER (confirmed IS NULL) "
        f"FROM (SELECT max(confirmed_at) AS confirmed FROM ({select_state(state)}) GROUP BY external_id)",
    )[0]
    return people, ageing, too_old, unknown


def select_state(path: Path) -> str:
    """Return the query that reads a last-sent state, also one of an earlier version without a column."""
    held = pq.read_schema(path).names
    columns = (name if name in held else f"NULL::{_STATE_TYPES[name]} AS {name}" for name in STATE.names)
    return f"SELECT {', '.join(columns)} FROM read_parquet('{path}')"


@dataclass(frozen=True)
class _JoinedAttribute:
    """One attribute of the state or of the lists, in SQL.

    :param alias: of its table in the join.
    :param wanted: expression for the fingerprint that it should have; NULL when it should not be there.
    """

    alias: str
    name: str
    wanted: str

    @property
    def table(self) -> str:
        columns = "external_id, fingerprint, kept_since, confirmed_at, true AS present"
        return f"(SELECT {columns} FROM state WHERE attribute = {_literal(self.name)}) {self.alias}"

    @property
    def differs(self) -> str:
        # A NULL fingerprint means "written, value unknown": treat it as changed.
        return (
            f"(({self.wanted}) IS NULL AND {self.alias}.present IS NOT NULL OR "
            f"({self.wanted}) IS NOT NULL AND {self.alias}.fingerprint IS DISTINCT FROM ({self.wanted}))"
        )

    @property
    def change(self) -> str:
        return f"[{{attribute: {_literal(self.name)}, fingerprint: {self.wanted}}}]"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def choose(database: duckdb.DuckDBPyConnection, inputs: PlanInputs) -> None:
    """Create tables of changes: ``deferred`` is over the cap, ``todo`` is not, and ``canary`` is sent first."""
    order = f"has_list, only_date, {_BY_PRIORITY}, hash(external_id), external_id"
    offset = "LIMIT 0" if inputs.cap is None else f"OFFSET {int(inputs.cap)}"
    database.execute(
        "CREATE TEMP TABLE deferred AS SELECT external_id FROM person "
        f"WHERE changes IS NOT NULL ORDER BY {order} {offset}"
    )
    database.execute(
        "CREATE TEMP TABLE todo AS SELECT * FROM person WHERE changes IS NOT NULL "
        "AND external_id NOT IN (SELECT external_id FROM deferred)"
    )
    writes = value(database, "SELECT count(*) FROM todo WHERE has_list")
    share = int(np.ceil(writes * inputs.canary_share))
    database.execute(
        "CREATE TEMP TABLE canary AS SELECT row FROM todo WHERE has_list "
        f"ORDER BY hash(external_id), external_id LIMIT {share}"
    )


def value(database: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(rows_of(database, query)[0][0])


def rows_of(database: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return database.execute(query).fetchall()
