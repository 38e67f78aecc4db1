"""Let the sample's shop be busy now: purchases that still lie ahead happen at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import psycopg

from warehouse_local.clock import show
from warehouse_local.errors import WarehouseError

Connection = psycopg.Connection[tuple[object, ...]]
_STEP_SECONDS = 20.0


def bring_forward(connection: Connection, purchases: int) -> int:
    """Move the next purchases of the sample to its present moment; products of theirs may be new.

    :returns: how many there were.
    :raises WarehouseError: when none lies ahead any more.
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
    """Bring purchases forward, evenly, for some minutes.

    :param connection: commits each statement.
    :returns: how many purchases there were.
    """
    began, _ = show(connection)
    end, total = began + timedelta(minutes=minutes), 0
    while (now := show(connection)[0]) < end:
        total += bring_forward(connection, max(1, round(purchases_per_minute * _STEP_SECONDS / 60)))
        say(f"{now:%H:%M:%S} UTC: {total:,} purchases so far")
        sleep(_STEP_SECONDS)
    return total
