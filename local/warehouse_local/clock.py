"""Show and set the warehouse's clock: the real time, or a fixed time for tests and demonstrations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import resources

import psycopg

from warehouse_local.errors import WarehouseError

Connection = psycopg.Connection[tuple[object, ...]]


def ensure_clock(connection: Connection) -> None:
    """Create schema `journey`, its clock table and `journey.now()` where missing."""
    script = resources.files("warehouse_local").joinpath("sql/clock.sql").read_text()
    connection.execute(script)


def show(connection: Connection) -> tuple[datetime, bool]:
    """Return the warehouse's current time and whether it is fixed."""
    row = connection.execute("SELECT journey.now(), fixed_at IS NOT NULL FROM journey.clock").fetchone()
    if row is None or not isinstance(row[0], datetime):
        raise WarehouseError("journey.clock is empty. Run `python -m warehouse_local clock --release`.")
    return row[0].astimezone(UTC), bool(row[1])


def set_to(connection: Connection, moment: datetime | None) -> None:
    """Fix the clock at `moment` (naive = UTC), or follow the real time with None."""
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    connection.execute(
        "INSERT INTO journey.clock (only_row, fixed_at) VALUES (true, %s) "
        "ON CONFLICT (only_row) DO UPDATE SET fixed_at = excluded.fixed_at",
        (moment,),
    )


def advance(connection: Connection, hours: float) -> None:
    """Fix the clock at its current time plus `hours`."""
    now, _ = show(connection)
    set_to(connection, now + timedelta(hours=hours))
