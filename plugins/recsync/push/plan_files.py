"""Plan a delivery: compare published lists with the last-sent state, columnar and out of core.

Braze is never asked. What has to be written is rendered once, here: the delivery only posts it.

writes/canary.parquet, removals.parquet, rest.parquet   sent in this order; a write's row counts through all three
settled.parquet                                         people of the audience who need no write
unanswered.parquet                                      people whom the batch output does not answer, and since when
items.parquet                                           the items that somebody's list points at
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from braze_client.payloads import MAX_VALUE_BYTES
from recsync.push.diff import Inputs, choose, compare, fingerprint_lists, rows_of, value
from recsync.push.outcomes import Outcome
from recsync.push.rendering import Elements
from recsync.push.schemas import PARTS, UNANSWERED_FILE, Figures
from recsync.push.writes import Tally, write_lists, write_removals
from recsync.storage import duck
from recsync.storage.arrow_memory import modest_allocator


def plan_files(inputs: Inputs, target: Path, work: Path) -> Figures:
    """Write the plan's files into ``target``.

    :param work: an empty folder for what is spilled.
    """
    (target / "writes").mkdir(parents=True, exist_ok=True)
    elements = Elements.of(inputs.braze, inputs.catalogue)
    with modest_allocator():
        used = fingerprint_lists(inputs, elements, work / "wanted.parquet")
    items = inputs.catalogue.append_column("used", pa.array(used))
    pq.write_table(items, target / "items.parquet", compression="zstd")
    with modest_allocator(), duck.opened(work) as database:
        compare(database, inputs, work)
        choose(database, inputs)
        return _write(database, inputs, elements, target)


def _write(database: duckdb.DuckDBPyConnection, inputs: Inputs, elements: Elements, target: Path) -> Figures:
    tally = Tally()
    too_large = write_lists(database, inputs, elements, target, tally)
    write_removals(database, target, tally)
    database.register("too_large", too_large)
    reason = f"the value is over {MAX_VALUE_BYTES} bytes, which Braze drops silently"
    database.execute(
        "COPY ("
        "SELECT external_id, "
        f"  CASE WHEN kept THEN '{Outcome.KEPT}' WHEN has_list THEN '{Outcome.UNCHANGED}' "
        f"    ELSE '{Outcome.SUPPRESSED}' END AS outcome, "
        "  CASE WHEN kept THEN unanswered WHEN has_list THEN '' ELSE coalesce(reason, '') END AS reason "
        "  FROM person WHERE changes IS NULL "
        f"UNION ALL SELECT external_id, '{Outcome.DEFERRED}', 'over the cap of the program file' "
        "  FROM deferred SEMI JOIN (SELECT external_id FROM person WHERE in_audience) USING (external_id) "
        f"UNION ALL SELECT external_id, '{Outcome.REJECTED}', '{reason}' FROM too_large "
        f") TO '{target / 'settled.parquet'}' (FORMAT parquet, COMPRESSION zstd)"
    )
    database.execute(
        "COPY (SELECT external_id, kept_since::BIGINT AS kept_since FROM person WHERE kept_since IS NOT NULL) "
        f"TO '{target / UNANSWERED_FILE}' (FORMAT parquet, COMPRESSION zstd)"
    )
    settled = f"read_parquet('{target / 'settled.parquet'}')"
    losing = "FROM person WHERE changes IS NOT NULL AND NOT has_list"
    reasons = f"SELECT reason, count(*) FROM {settled} WHERE reason <> '' GROUP BY 1 ORDER BY 2 DESC, 1"
    return Figures(
        audience=value(database, "SELECT count(*) FROM person WHERE in_audience"),
        rows={part: tally.rows[part] for part in PARTS},
        writes=tally.writes,
        removals=value(database, "SELECT count(*) FROM todo WHERE in_audience AND NOT has_list"),
        left_audience=value(database, "SELECT count(*) FROM todo WHERE NOT in_audience"),
        settled=dict(rows_of(database, f"SELECT outcome, count(*) FROM {settled} GROUP BY 1 ORDER BY 1")),
        reasons=dict(rows_of(database, reasons)),
        data_points=tally.data_points,
        object_bytes=tally.object_bytes,
        had_list=value(database, "SELECT count(DISTINCT external_id) FROM state"),
        losing=value(database, f"SELECT count(*) {losing}"),
        losing_outside=value(database, f"SELECT count(*) {losing} AND NOT in_audience"),
        deferred=value(database, "SELECT count(*) FROM deferred"),
    )
