from __future__ import annotations

from typing import Any

import psycopg
import pyarrow as pa
import pytest

from warehouse_local.buyers import Buyers, simulate

SINCE = 1_790_000_000
PEOPLE = pa.table(
    {
        "user_id": [f"u{n}" for n in range(3000)],
        "arm": ["tried" if n % 2 else "holdout" for n in range(3000)],
        "since": [SINCE] * 3000,
    }
)


def test_simulated_buyers_have_the_planted_effects(db: psycopg.Connection[Any]) -> None:
    buyers = Buyers(effects={"tried": 0.5}, events={"unsubscribe": 0.05}, event_effects={"tried": 1.0})
    lists = {f"u{n}": ["of the list"] for n in range(1, 3000, 2)}
    rows = simulate(db, PEOPLE, buyers, days=20, days_before=20, items=["other"], lists=lists)
    counted = db.execute(
        "SELECT event, right(user_id, 1)::int %% 2 AS tried, extract(epoch FROM happened_at) >= %s AS after, "
        "count(*), count(*) FILTER (WHERE item_id = 'of the list'), avg(value) FROM journey.outcomes GROUP BY 1, 2, 3",
        [SINCE],
    ).fetchall()
    found = {tuple(row[:3]): row[3:] for row in counted}
    assert sum(row[0] for row in found.values()) == rows
    orders = {key[1:]: value for key, value in found.items() if key[0] == "conversion"}
    # Who is tried by chance buys more or less, before as after.
    change = {tried: orders[tried, True][0] / orders[tried, False][0] for tried in (0, 1)}
    assert change[1] / change[0] == pytest.approx(1.5, rel=0.1)
    assert orders[1, True][1] / orders[1, True][0] == pytest.approx(0.2, abs=0.03)
    assert orders[0, True][1] == orders[1, False][1] == 0
    assert float(orders[0, True][2]) == pytest.approx(30, rel=0.1)
    assert found["unsubscribe", 1, True][0] / found["unsubscribe", 0, True][0] == pytest.approx(2, rel=0.35)
    # A seed means the same rows; a second call replaces them.
    assert (
        simulate(db, PEOPLE.take(list(range(2999, -1, -1))), buyers, days=20, days_before=20, lists=lists)
        == rows
    )
