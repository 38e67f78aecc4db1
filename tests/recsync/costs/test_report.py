from __future__ import annotations

from datetime import UTC, datetime

from recsync.costs.charges import Charge, Kind
from recsync.costs.ledger import Entry, Month
from recsync.costs.prices import Price, PriceList, Prices
from recsync.costs.report import Bill, report
from recsync.program.operations import Budget

PRICES = Prices(
    lists=(
        PriceList(
            since="2026-01",
            prices={Kind.TRAINING_HOURS: Price(price=2), Kind.INGESTED_BYTES: Price(price=1, per=1e9)},
        ),
    )
)
AT = "2026-11-02T00:00:00+00:00"
LEDGER = Month(
    {
        "arn:1": Entry(Kind.TRAINING_HOURS, 1.25, AT),
        "arn:2": Entry(Kind.INGESTED_BYTES, 2_500_000_000, AT),
        "delivery": Entry(Kind.DATA_POINTS, 1200, AT),
    }
).expecting("run", [Charge(Kind.TRAINING_HOURS, 1, "t")], datetime(2026, 11, 2, tzinfo=UTC))


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
    bills = [Bill(name, "2026-11", LEDGER.without_expected(), Budget()) for name in ("a", "b")]
    assert report(bills, PRICES).endswith("Together: 10.00 USD")
    assert report([], PRICES) == "Nothing is booked."
