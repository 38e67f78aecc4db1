"""Read what lift is measured from: the rows of ``outcomes.sql``, and the deliveries that people got before them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.lift.figures import DAY_SECONDS
from recsync.program.experiment import CONVERSION
from recsync.program.intervals import Interval
from recsync.program.names import delivers_lists
from recsync.push.accounts import Outcome
from recsync.push.store import Deliveries, PlanManifest
from recsync.recommend.store import RecommendationsStore
from recsync.storage.duck import quoted_path
from recsync.storage.keys import Keys
from recsync.warehouse.program_sql import read_query
from recsync.warehouse.values import DECIMAL_NUMBER, MILLISECONDS_FROM, WHOLE_NUMBER, time_unit

log = logging.getLogger(__name__)

OUTCOMES = pa.schema(
    [
        ("user_id", pa.string()),
        ("happened", pa.int64()),
        ("value", pa.float64()),
        ("item_id", pa.string()),
        ("event", pa.string()),
        ("outcome_id", pa.string()),
    ]
)
"""Outcomes in the local file; ``happened`` in Unix seconds, ``event`` never NULL."""
REQUIRED = ("user_id", "timestamp")
OPTIONAL = ("value", "item_id", "event", "outcome_id")
"""Columns that ``outcomes.sql`` may leave out."""
IDS = ("user_id", "item_id", "outcome_id")
"""Columns that hold ids."""

# Outcomes of a delivery after which Braze has its list.
_HAVE_IT = f"'{Outcome.SENT}', '{Outcome.UNCHANGED}'"
_NULL = pa.scalar(None, pa.string())

ROWS = "rows"
WITHOUT_USER = "without user_id"
BAD_TIMESTAMP = "bad timestamp"
BAD_VALUE = "value is not a number"
OUTSIDE = "outside the period"


def read_outcomes(
    context: StageContext, interval: Interval, target: Path
) -> tuple[Counter[str], frozenset[str]]:
    """Write the outcomes of a period to a local file.

    :returns: the number of rows, and of rows left out by reason; and the columns that the query returns.
    :raises FatalError: when the query returns no rows, or times in another unit than seconds.
    """
    hook = context.warehouse()
    name, query = read_query(context.program, "outcomes", interval, hook)
    returned = {column.name.casefold() for column in hook.columns(query, name=name)}
    columns = [*REQUIRED, *(column for column in OPTIONAL if column in returned)]
    with hook.read(query, columns, name=name, ids=[each for each in IDS if each in columns]) as rows:
        counts = write_outcomes(rows.batches, target, interval, name=name)
    log.info("Outcomes of %s: %s", name, dict(counts))
    if not counts[ROWS]:
        raise FatalError(
            f"{name} returned no row for {interval.start:%Y-%m-%d %H:%M} to {interval.end:%Y-%m-%d %H:%M} UTC. Nothing "
            "was compared. Check that the table is loaded, and that the query uses "
            "data_interval_start and data_interval_end."
        )
    return counts, frozenset(columns)


def write_outcomes(
    batches: Iterable[pa.RecordBatch], target: Path, interval: Interval, *, name: str
) -> Counter[str]:
    """Write the usable rows (``OUTCOMES``), and count the others by reason.

    A row without an event is a conversion. Rows outside the interval are left out.

    :param batches: text columns: all of ``REQUIRED``, any of ``OPTIONAL``.
    :raises FatalError: when times are in another unit than seconds.
    """
    counts: Counter[str] = Counter()
    start, end = int(interval.start.timestamp()), int(interval.end.timestamp())
    with pq.ParquetWriter(target, OUTCOMES, compression="zstd") as writer:
        for batch in batches:
            counts[ROWS] += batch.num_rows
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            writer.write_batch(_usable(columns, batch.num_rows, (start, end), counts, name))
    return counts


def _usable(
    columns: Mapping[str, pa.Array], rows: int, bounds: tuple[int, int], counts: Counter[str], name: str
) -> pa.RecordBatch:
    def text(column: str) -> pa.Array:
        found = columns.get(column)
        return pa.nulls(rows, pa.string()) if found is None else pc.if_else(pc.equal(found, ""), _NULL, found)

    at = _parsed(text("timestamp"), WHOLE_NUMBER, pa.int64())
    value = _parsed(text("value"), DECIMAL_NUMBER, pa.float64())
    newest = pc.max(at).as_py()
    if newest is not None and newest >= MILLISECONDS_FROM:
        raise FatalError(
            f"{name} returns times in {time_unit(newest)}; outcomes need Unix seconds: "
            "write {{ epoch('column') }} AS timestamp."
        )
    in_period = pc.and_(pc.greater_equal(at, bounds[0]), pc.less(at, bounds[1]))
    # A row counts under its first reason.
    reasons = {
        WITHOUT_USER: pc.is_null(text("user_id")),
        BAD_TIMESTAMP: pc.is_null(at),
        BAD_VALUE: pc.or_(
            pc.and_(pc.is_valid(text("value")), pc.is_null(value)),
            pc.fill_null(pc.invert(pc.is_finite(value)), False),
        ),
        OUTSIDE: pc.invert(pc.fill_null(in_period, True)),
    }
    kept = pa.array([True] * rows, pa.bool_())
    for reason, found in reasons.items():
        counts[reason] += pc.sum(pc.and_(kept, found)).as_py() or 0
        kept = pc.and_(kept, pc.invert(found))
    event = pc.fill_null(text("event"), CONVERSION)
    arrays = [text("user_id"), at, value, text("item_id"), event, text("outcome_id")]
    return pa.RecordBatch.from_arrays(arrays, schema=OUTCOMES).filter(kept)


def _parsed(texts: pa.Array, pattern: str, kind: pa.DataType) -> pa.Array:
    """Parse texts; one that is no number becomes NULL."""
    trimmed = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.match_substring_regex(trimmed, pattern), pc.utf8_ltrim(trimmed, "+"), _NULL).cast(
        kind
    )


@dataclass(frozen=True)
class ExperimentDelivery:
    """One delivery of a program that ran the experiment.

    :param run: the recommend run that it delivered.
    :param at: Unix seconds of its plan, before anything was sent.
    """

    program: str
    name: str
    run: str
    at: int


def deliveries_since(
    context: StageContext, programs: tuple[str, ...], since: datetime
) -> list[ExperimentDelivery]:
    """List the closed deliveries of lists of some programs, oldest first.

    :param programs: those that ran the experiment, former names of a renamed one among them.
    """
    found = []
    for program in programs:
        store = Deliveries(context.bucket, Keys(program))
        for name in store.names():
            manifest = _closed(store, name, since)
            if manifest:
                at = int(datetime.fromisoformat(manifest.created_at).timestamp())
                found.append(ExperimentDelivery(program, name, manifest.recommendations, at))
    return sorted(found, key=lambda each: (each.at, each.name))


def _closed(store: Deliveries, name: str, since: datetime) -> PlanManifest | None:
    # Names begin with the time of the plan, so older deliveries need not be read.
    if name[:15] < f"{since:%Y%m%dT%H%M%S}" or store.bucket.etag(store.accounts_key(name)) is None:
        return None
    manifest = store.plan(name)
    return None if manifest.dry_run or not delivers_lists(manifest.recommendations) else manifest


def load_exposure(
    context: StageContext,
    database: duckdb.DuckDBPyConnection,
    deliveries: list[ExperimentDelivery],
    work: Path,
    *,
    window_days: int,
    items: bool,
) -> list[str]:
    """Create the tables ``delivered`` (person, sent) and ``recommended`` (n, of ``bought``).

    It reads ``everybody`` (person, external_id, since) and ``bought`` (n, external_id, item_id, happened, since). A
    delivery before the person's enrolment does not count.

    :param items: whether outcomes name items; otherwise no list is read.
    :returns: notes about deliveries without their lists.
    """
    database.execute("CREATE TABLE delivered (person INTEGER, sent BIGINT)")
    database.execute("CREATE TABLE recommended (n BIGINT)")
    gone = 0
    for each in deliveries:
        keys = Keys(each.program)
        accounts = work / "accounts.parquet"
        Deliveries(context.bucket, keys).download_accounts(each.name, accounts)
        have = (
            f"(SELECT external_id FROM read_parquet({quoted_path(accounts)}) WHERE outcome IN ({_HAVE_IT}))"
        )
        database.execute(
            f"INSERT INTO delivered SELECT person, {each.at} FROM {have} JOIN everybody USING (external_id) "
            f"WHERE since <= {each.at} AND person NOT IN (SELECT person FROM delivered)"
        )
        if items:
            gone += not _mark_items(context, database, each, have, work, window_days)
        accounts.unlink()
    return (
        [f"The lists of {gone} deliveries were removed, so items bought from them do not count."]
        if gone
        else []
    )


def _mark_items(
    context: StageContext,
    database: duckdb.DuckDBPyConnection,
    each: ExperimentDelivery,
    have: str,
    work: Path,
    window_days: int,
) -> bool:
    """Record which bought items were in the lists of a delivery; return False without the lists."""
    until = each.at + window_days * DAY_SECONDS
    lists = work / "lists.parquet"
    store = RecommendationsStore(context.bucket, Keys(each.program))
    try:
        catalog = store.download(each.run, lists)
    except FatalError as error:
        log.warning("Delivery %s: %s", each.name, error)
        return False
    positions = pa.table(
        {
            "item_id": catalog["item_id"].cast(pa.string()),
            "position": pa.array(range(len(catalog)), pa.int32()),
        }
    )
    database.register("positions", positions)
    database.execute(
        "INSERT INTO recommended SELECT b.n FROM bought b JOIN positions p USING (item_id) "
        f"JOIN {have} a USING (external_id) JOIN read_parquet({quoted_path(lists)}) l USING (external_id) "
        f"WHERE b.happened >= {each.at} AND b.happened < {until} AND b.since <= {each.at} "
        "AND list_contains(l.items, p.position)"
    )
    database.unregister("positions")
    lists.unlink()
    return True
