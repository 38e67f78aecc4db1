"""Write the objects of the tables as local Parquet files, from local files, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.push.plan_format import SETTLED
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.list_partition import LISTS as PUBLISHED
from recsync.suppression.store import PERSON, USER, Suppression
from recsync.tables.schema import ACCOUNTS, EXPERIMENTS, LISTS, OUTCOMES, TableSchema, arrow_schema

# All engines read Snappy: Redshift Spectrum supports only gzip, Snappy and bzip2.
# https://docs.aws.amazon.com/redshift/latest/dg/c-spectrum-data-files.html
COMPRESSION = "snappy"
_GROUP_ROWS = 100_000
_IDS = {"user_id": USER, "external_id": PERSON}
# An erasure replaces ids in accounts by such texts, so that the positions in the ledger stay valid.
_STAND_IN = "erased-[0-9a-f]{16}"


def write(database: duckdb.DuckDBPyConnection, table: TableSchema, query: str, target: Path) -> int:
    """Write the rows of a query as one object of a table.

    :param query: returns the columns of the table, by name, in any order.
    :returns: the number of rows.
    """
    schema, rows = arrow_schema(table), 0
    columns, order = ", ".join(table.names), ", ".join(table.order)
    reader = database.sql(f"SELECT {columns} FROM ({query}) ORDER BY {order}").to_arrow_reader(_GROUP_ROWS)
    # Without the Arrow schema in its metadata: other readers do not use it.
    with pq.ParquetWriter(target, schema, compression=COMPRESSION, store_schema=False) as writer:
        for batch in reader:
            writer.write_batch(batch.cast(schema), row_group_size=_GROUP_ROWS)
            rows += batch.num_rows
    return rows


def write_rows(table: TableSchema, rows: Iterable[Mapping[str, Any]], target: Path) -> int:
    """Write a few rows, given as mappings, as one object of a table; a missing column is null."""
    found = pa.Table.from_pylist([dict(row) for row in rows], arrow_schema(table))
    found = found.sort_by([(name, "ascending") for name in table.order])
    pq.write_table(found, target, compression=COMPRESSION, store_schema=False)
    return int(found.num_rows)


def literal(value: str | datetime | None) -> str:
    """Write a text or a time as a SQL literal."""
    if value is None or value == "":
        return "NULL"
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
    return "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True)
class PeopleFiles:
    """Local files of one run: its audience and lists.

    :param lists: Parquet file of ``LISTS``; None: the delivery is of no published run.
    :param audience: Parquet file of ``AUDIENCE``; None: the run kept none.
    :param suppression: people to leave out.
    """

    lists: Path | None = None
    audience: Path | None = None
    suppression: Suppression = field(default_factory=Suppression)

    def register(self, database: duckdb.DuckDBPyConnection, *others: Path) -> None:
        """Create the views ``audience`` and ``published``, and the table ``left_out`` of external ids.

        :param others: more files with a column ``external_id``, to look for suppressed people in.
        """
        for name, path, schema in (
            ("audience", self.audience, AUDIENCE),
            ("published", self.lists, PUBLISHED),
        ):
            if path is None:
                database.register(name, _with_arm(schema).empty_table())
                continue
            # Older runs have no experiment.
            arm = "" if "arm" in pq.read_schema(path).names else ", NULL::VARCHAR AS arm"
            database.execute(f"CREATE VIEW {name} AS SELECT *{arm} FROM read_parquet({literal(str(path))})")
        left_out = {
            one
            for path in (self.audience, self.lists, *others)
            if path
            for one in suppressed_ids(path, self.suppression, "external_id")
        }
        database.register("left_out", pa.table({"external_id": pa.array(sorted(left_out), pa.string())}))


def suppressed_ids(path: Path, suppression: Suppression, column: str) -> Iterator[str]:
    """Yield the ids of suppressed people in a Parquet file; either of their two ids is enough to find them.

    :param column: ``user_id`` or ``external_id``: the ids to yield.
    """
    if not suppression:
        return
    with pq.ParquetFile(path) as file:
        kinds = {name: kind for name, kind in _IDS.items() if name in file.schema_arrow.names}
        for batch in file.iter_batches(_GROUP_ROWS, columns=list(kinds)):
            found = np.zeros(batch.num_rows, np.bool_)
            for name, kind in kinds.items():
                found |= suppression.mask(kind, batch[name])
            yield from batch[column].filter(pa.array(found)).drop_null().to_pylist()


def _with_arm(schema: pa.Schema) -> pa.Schema:
    return schema if "arm" in schema.names else schema.append(pa.field("arm", pa.string()))


_KEPT = f"ANTI JOIN left_out USING (external_id) WHERE NOT regexp_full_match(external_id, '{_STAND_IN}')"


def write_accounts(
    database: duckdb.DuckDBPyConnection,
    accounts: Path,
    people: PeopleFiles,
    target: Path,
    *,
    program: str,
    delivery: str,
    run: str,
    planned_at: datetime,
) -> int:
    """Write the accounts of a delivery; return the number of rows.

    :param accounts: Parquet file of the delivery's accounts.
    """
    assert set(SETTLED.names) <= set(pq.read_schema(accounts).names)
    people.register(database, accounts)
    return write(
        database,
        ACCOUNTS,
        f"SELECT {literal(program)} AS program, {literal(delivery)} AS delivery, {literal(run)} AS run, "
        f"{literal(planned_at)} AS planned_at, p.user_id, external_id, a.outcome, "
        "nullif(a.reason, '') AS reason, a.data_points, nullif(coalesce(l.arm, p.arm), '') AS arm "
        f"FROM (SELECT * FROM read_parquet({literal(str(accounts))}) {_KEPT}) a "
        "LEFT JOIN audience p USING (external_id) LEFT JOIN published l USING (external_id)",
        target,
    )


def write_lists(
    database: duckdb.DuckDBPyConnection,
    catalog: pa.Table,
    people: PeopleFiles,
    target: Path,
    *,
    program: str,
    run: str,
    created_at: datetime,
    solution_version: str,
    by_arm: Mapping[str, str],
) -> int:
    """Write the lists of a run, a row per item; return the number of rows.

    :param catalog: ``CATALOG``: the lists hold positions in it.
    :param solution_version: version for people outside an experiment.
    :param by_arm: version by arm; arms without a model are missing.
    """
    people.register(database)
    items = {"item": pa.array(range(len(catalog)), pa.int32()), "item_id": catalog["item_id"]}
    database.register("items", pa.table(items))
    arms = pa.table(
        {"arm": pa.array(list(by_arm), pa.string()), "version": pa.array(list(by_arm.values()), pa.string())}
    )
    database.register("arms", arms)
    version = (
        f"CASE WHEN s.arm IS NULL THEN {literal(solution_version)} ELSE nullif(v.version, '') END"
        if by_arm
        else literal(solution_version)
    )
    return write(
        database,
        LISTS,
        f"SELECT {literal(program)} AS program, {literal(run)} AS run, {literal(created_at)} AS created_at, "
        "s.user_id, s.external_id, s.position, i.item_id, s.score, s.tier, s.rule, "
        f"{version} AS solution_version, s.arm "
        "FROM (SELECT p.user_id, external_id, nullif(l.tier, '') AS tier, "
        "  nullif(coalesce(l.arm, p.arm), '') AS arm, unnest(l.items) AS item, unnest(l.scores) AS score, "
        "  unnest(l.put_by) AS rule, "
        "  generate_subscripts(l.items, 1) AS position "
        f"  FROM (SELECT * FROM published {_KEPT}) l LEFT JOIN audience p USING (external_id)) s "
        "JOIN items i USING (item) LEFT JOIN arms v ON v.arm = s.arm",
        target,
    )


def write_enrolled(
    database: duckdb.DuckDBPyConnection, day: date, target: Path, *, program: str, experiment: str, layer: str
) -> int:
    """Write the enrolments of a day; return the number of rows.

    Reads the view ``enrolled`` (``ENROLLED``) and the table ``left_out`` of user ids.
    """
    return write(
        database,
        EXPERIMENTS,
        f"SELECT {literal(program)} AS program, {literal(experiment)} AS experiment, {literal(layer)} AS layer, "
        "user_id, external_id, arm, stratum, to_timestamp(since) AS since, to_timestamp(until) AS until "
        f"FROM enrolled ANTI JOIN left_out USING (user_id) WHERE {_day_of('since')} = DATE '{day.isoformat()}'",
        target,
    )


def open_outcomes(database: duckdb.DuckDBPyConnection, outcomes: Path, suppression: Suppression) -> None:
    """Create the view ``happened`` of ``recsync.lift.outcomes.OUTCOMES``, without suppressed people."""
    left_out = sorted(set(suppressed_ids(outcomes, suppression, "user_id")))
    database.register("left_out", pa.table({"user_id": pa.array(left_out, pa.string())}))
    found = f"read_parquet({literal(str(outcomes))})"
    database.execute(f"CREATE VIEW happened AS SELECT * FROM {found} ANTI JOIN left_out USING (user_id)")


def write_outcomes(database: duckdb.DuckDBPyConnection, day: date, target: Path, *, program: str) -> int:
    """Write the outcomes of a day from the view ``happened``; return the number of rows."""
    return write(
        database,
        OUTCOMES,
        f"SELECT {literal(program)} AS program, user_id, to_timestamp(happened) AS happened_at, event, "
        "value AS outcome_value, item_id, outcome_id "
        f"FROM happened WHERE {_day_of('happened')} = DATE '{day.isoformat()}'",
        target,
    )


def _day_of(seconds: str) -> str:
    """Return the SQL for the day (UTC) of Unix seconds, independent of the session's time zone."""
    return f"DATE '1970-01-01' + ({seconds} // 86400)::INTEGER"


def enrolled_days(
    database: duckdb.DuckDBPyConnection, enrolled: Path, suppression: Suppression
) -> dict[date, datetime]:
    """Open a table of people (``ENROLLED``); return its days, each with the time of its last change."""
    left_out = sorted(set(suppressed_ids(enrolled, suppression, "user_id")))
    database.register("left_out", pa.table({"user_id": pa.array(left_out, pa.string())}))
    # Without an arm, a person is outside the experiment.
    database.execute(
        f"CREATE VIEW enrolled AS SELECT * FROM read_parquet({literal(str(enrolled))}) WHERE arm <> ''"
    )
    found = database.sql(
        f"SELECT {_day_of('since')}, max(greatest(since, coalesce(until, 0))) FROM enrolled GROUP BY 1 ORDER BY 1"
    )
    return {day: datetime.fromtimestamp(changed, UTC) for day, changed in found.fetchall()}
