"""Write the files of a plan from lists and a last-sent state on the local disk.

writes/canary.parquet, removals.parquet, rest.parquet   sent in this order; a write's row counts through all three
settled.parquet                                         users of the audience without a write
unanswered.parquet                                      users without an answer in the batch output, and since when
items.parquet                                           the run's items, and whether a list uses them
"""

from __future__ import annotations

import logging
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.push.accounts import Outcome
from recsync.push.diff import PlanInputs, choose, compare, expire, fingerprint_lists, rows_of, value
from recsync.push.plan_format import PARTS, UNANSWERED_FILE, PlanFigures
from recsync.push.rendering import Elements
from recsync.push.writes import WriteCounts, write_lists, write_removals
from recsync.storage import duck, machine
from recsync.storage.duck import modest_allocator

log = logging.getLogger(__name__)


def plan_files(inputs: PlanInputs, target: Path, work: Path) -> PlanFigures:
    """Write the plan's files into ``target``; ``work`` is an empty folder for temporary files."""
    (target / "writes").mkdir(parents=True, exist_ok=True)
    # 20 million people do not fit into DuckDB's default of 256 MB.
    memory = machine.duckdb_memory()
    with modest_allocator():
        elements = Elements.of(inputs.braze, inputs.catalogue)
        wanted = fingerprint_lists(inputs, elements, work / "wanted.parquet")
        for attribute in (each for each in inputs.braze.written if each.name in wanted.without):
            log.warning(
                "No list has a value for attribute %s (%s): the recipe gives none, or the recommendations were "
                "published before there were any. It stays as it is; whoever gets another list loses it.",
                attribute.name, attribute.source.name,
            )  # fmt: skip
        items = inputs.catalogue.append_column("used", pa.array(wanted.used))
        pq.write_table(items, target / "items.parquet", compression="zstd")
        pa.system_memory_pool().release_unused()
        person = work / "person.parquet"
        if inputs.oldest is None:
            # A database of its own: DuckDB returns the memory of the joins, 90 MB for a million people, when it closes.
            with duck.opened(work, memory_limit=memory) as database:
                compare(database, inputs, work / "wanted.parquet", person, wanted.without)
        with duck.opened(work, memory_limit=memory) as database:
            if inputs.oldest is None:
                database.read_parquet(str(person)).create_view("person")
            else:
                expire(database, inputs)
            choose(database, inputs)
            return _write(database, inputs, elements, target)


def _write(
    database: duckdb.DuckDBPyConnection, inputs: PlanInputs, elements: Elements, target: Path
) -> PlanFigures:
    tally = WriteCounts()
    left_out = write_lists(database, inputs, elements, target, tally)
    write_removals(database, target, tally, inputs.identifier)
    database.register("left_out", left_out)
    database.execute(
        "COPY ("
        "SELECT external_id, "
        f"  CASE WHEN kept THEN '{Outcome.KEPT}' WHEN has_list THEN '{Outcome.UNCHANGED}' "
        f"    WHEN held_out THEN '{Outcome.HELD_OUT}' ELSE '{Outcome.SUPPRESSED}' END AS outcome, "
        "  CASE WHEN kept THEN unanswered WHEN has_list THEN '' ELSE coalesce(reason, '') END AS reason "
        "  FROM person WHERE changes IS NULL "
        f"UNION ALL SELECT external_id, '{Outcome.DEFERRED}', 'over the cap of the program file' "
        "  FROM deferred SEMI JOIN (SELECT external_id FROM person WHERE in_audience) USING (external_id) "
        f"UNION ALL SELECT external_id, '{Outcome.REJECTED}', reason FROM left_out "
        f") TO '{target / 'settled.parquet'}' (FORMAT parquet, COMPRESSION zstd)"
    )
    database.execute(
        "COPY (SELECT external_id, kept_since::BIGINT AS kept_since FROM person WHERE kept_since IS NOT NULL) "
        f"TO '{target / UNANSWERED_FILE}' (FORMAT parquet, COMPRESSION zstd)"
    )
    settled = f"read_parquet('{target / 'settled.parquet'}')"
    losing = "changes IS NOT NULL AND NOT has_list AND NOT held_out"
    audience, had_list, lose, lose_outside = rows_of(
        database,
        "SELECT count(*) FILTER (in_audience), count(*) FILTER (had_list), "
        f"count(*) FILTER ({losing}), count(*) FILTER ({losing} AND NOT in_audience) FROM person",
    )[0]
    removals, left_audience, refreshed, held_out = rows_of(
        database,
        "SELECT count(*) FILTER (in_audience AND NOT has_list), count(*) FILTER (NOT in_audience), "
        "count(*) FILTER (only_date), count(*) FILTER (held_out) FROM todo",
    )[0]
    reasons = f"SELECT reason, count(*) FROM {settled} WHERE reason <> '' GROUP BY 1 ORDER BY 2 DESC, 1"
    return PlanFigures(
        audience=audience,
        rows={part: tally.rows[part] for part in PARTS},
        writes=tally.writes,
        removals=removals,
        left_audience=left_audience,
        settled=dict(rows_of(database, f"SELECT outcome, count(*) FROM {settled} GROUP BY 1 ORDER BY 1")),
        reasons=dict(rows_of(database, reasons)),
        data_points=tally.data_points,
        object_bytes=tally.object_bytes,
        had_list=had_list,
        losing=lose,
        losing_outside=lose_outside,
        deferred=value(database, "SELECT count(*) FROM deferred"),
        refreshed=refreshed,
        held_out=held_out,
    )
