from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recsync.cost_report import Bill, DataCosts, report
from recsync.costs.ledger import Month, UsageEntry
from recsync.costs.prices import Charge, Price, PriceList, Prices, UsageKind
from recsync.program.operations import Budget

PRICES = Prices(
    lists=(
        PriceList(
            since="2026-01",
            prices={
                UsageKind.TRAINING_HOURS: Price(price=2),
                UsageKind.INGESTED_BYTES: Price(price=1, per=1e9),
            },
        ),
    )
)
AT = "2026-11-02T00:00:00+00:00"
LEDGER = Month(
    {
        "arn:1": UsageEntry(UsageKind.TRAINING_HOURS, 1.25, AT),
        "arn:2": UsageEntry(UsageKind.INGESTED_BYTES, 2_500_000_000, AT),
        "delivery": UsageEntry(UsageKind.DATA_POINTS, 1200, AT),
    }
).with_estimate("run", [Charge(UsageKind.TRAINING_HOURS, 1, "t")], datetime(2026, 11, 2, tzinfo=UTC))


def test_a_bill_shows_what_was_used_what_it_cost_and_what_is_left() -> None:
    bill = Bill("shop", "2026-11", LEDGER, Budget(monthly=10, data_points_per_month=2400))
    lines = [" ".join(line.split()) for line in report([bill], PRICES).splitlines()]
    assert lines == [
        "shop, 2026-11",
        "GB imported 2.50 2.50 USD",
        "training hours 1.25 2.50 USD",
        "Braze data points 1,200 no price",
        "total 5.00 USD",
        "expected by runs under way 2.00 USD",
        "budget 50% used 10.00 USD",
        "budget of data points 50% used 2,400",
    ]
    told = bill.as_json(PRICES)
    assert (told["total"], told["expected"], told["budget"]) == (5, 2, 10)
    assert told["used"]["ingested_bytes"] == 2_500_000_000


def test_several_bills_are_summed_up() -> None:
    bills = [Bill(name, "2026-11", LEDGER.recorded(), Budget()) for name in ("a", "b")]
    assert report(bills, PRICES).endswith("Together: 10.00 USD")
    assert report([], PRICES) == "No usage is recorded."


def test_what_programs_use_together_is_shared_equally_and_nothing_is_lost() -> None:
    def trained(solution: str, hours: float) -> UsageEntry:
        arn = f"arn:aws:personalize:r:1:solution/{solution}"
        return UsageEntry(UsageKind.TRAINING_HOURS, hours, AT, of=arn)

    owner = Month({**LEDGER.recorded().entries, "v1": trained("shop-up", 3), "v2": trained("shop-old", 1)})
    because = Month({"v3": trained("shop-sims", 2)})
    costs = DataCosts(
        {"shop": owner, "because": because, "winback": Month()},
        {"shop-up": ["shop", "winback"], "shop-sims": ["because"]},
    )
    listed = PRICES.of("2026-11")
    shares = {name: costs.share_of(name, listed) for name in costs.used}
    # 2.50 USD of imports over three; 3 hours over two; what nobody asks for any more stays where it was recorded.
    assert shares == {
        "shop": pytest.approx(2.5 / 3 + 2.5 + 3 + 2),
        "winback": pytest.approx(2.5 / 3 + 3),
        "because": pytest.approx(2.5 / 3 + 4),
    }
    assert sum(shares.values()) == pytest.approx(listed.cost(owner.used()) + listed.cost(because.used()))
    bill = Bill("winback", "2026-11", Month(), Budget(), shares["winback"])
    assert "with its share of the data 3.83 USD" in " ".join(report([bill], PRICES).split())
