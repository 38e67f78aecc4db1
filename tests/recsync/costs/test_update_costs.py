"""What updates cost by trainings and by events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recsync.costs.ledger import Month, UsageEntry
from recsync.costs.prices import Charge, Price, PriceList, PriceTier, UsageKind
from recsync.costs.update_costs import STREAMED_PER_IMPORTED_BYTE, compare, count_worthwhile_updates

BYTES, HOURS = UsageKind.INGESTED_BYTES, UsageKind.TRAINING_HOURS
PRICES = PriceList(since="2026-01", prices={HOURS: Price(price=2), BYTES: Price(price=1, per=1e9)})
ONE = Charge(HOURS, 0.5, "UPDATE trainings")
START = datetime(2026, 11, 2, tzinfo=UTC)


def streamed(hour: int, **rows: int) -> dict[str, UsageEntry]:
    """The entries of one run, an hour's objects."""
    at = (START + timedelta(hours=hour)).isoformat()
    return {
        f"stream/r{hour}/{folder}/h{hour}": UsageEntry(
            BYTES, 100.0 * count, at, name=f"r{hour}/{folder}/h{hour}", mode="STREAM", rows=count
        )
        for folder, count in rows.items()
    }


def test_a_month_without_updates_has_nothing_to_compare() -> None:
    full = {"f": UsageEntry(HOURS, 9, START.isoformat(), mode="FULL")}
    assert compare(Month(full), PRICES, ONE) is None


def test_update_trainings_and_their_imports_are_compared_with_streaming_their_rows() -> None:
    at = START.isoformat()
    month = Month(
        {
            "full": UsageEntry(HOURS, 9, at, mode="FULL"),
            "u1": UsageEntry(HOURS, 0.5, at, mode="UPDATE"),
            "u2": UsageEntry(HOURS, 0.75, at, mode="UPDATE"),
            "i": UsageEntry(BYTES, 1e8, at, mode="INCREMENTAL"),
        }
    )
    found = compare(month, PRICES, ONE)
    assert found is not None
    assert (found.done, found.cost) == ("updates by 2 UPDATE trainings", pytest.approx(2.5 + 0.1))
    assert found.other_cost == pytest.approx(0.1 * STREAMED_PER_IMPORTED_BYTE)
    (_, now), (what, other) = found.lines("USD")
    assert (now, what) == ("2.60 USD", "by events instead (update_by: events), about")
    assert other == "0.65 USD: 1.95 USD less"


def test_streams_are_compared_with_the_updates_that_would_have_been_worth_a_run() -> None:
    hours = {**streamed(0, interactions=999), **streamed(1, interactions=1), **streamed(2, items=1)}
    month = Month({**hours, "full": UsageEntry(HOURS, 9, START.isoformat(), mode="FULL")})
    found = compare(month, PRICES, ONE)
    assert found is not None
    assert (found.done, found.other) == (
        "updates by 3 streams of 1,001 rows",
        "by 2 UPDATE trainings instead",
    )
    assert found.cost == pytest.approx(100_100 / 1e9)
    assert found.other_cost == pytest.approx(2 * 0.5 * 2, rel=1e-3)
    assert found.lines("USD")[1][1].endswith(" more")
    assert found.as_json()["saved_by_other"] == pytest.approx(found.cost - found.other_cost)


def test_few_rows_without_a_new_item_would_have_trained_nothing() -> None:
    assert count_worthwhile_updates({**streamed(0, interactions=5), **streamed(30, interactions=5)}) == 0
    assert count_worthwhile_updates({**streamed(0, users=5), **streamed(30, users=5)}) == 1


def test_tiers_of_the_month_count() -> None:
    tiered = PriceList(since="2026-01", prices={HOURS: Price(price=2, tiers=(PriceTier(above=10, price=1),))})
    at = START.isoformat()
    month = Month({"f": UsageEntry(HOURS, 10, at, mode="FULL"), "u": UsageEntry(HOURS, 3, at, mode="UPDATE")})
    found = compare(month, tiered, ONE)
    assert found is not None
    assert found.cost == 3
