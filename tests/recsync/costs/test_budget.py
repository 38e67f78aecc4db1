from __future__ import annotations

import pytest

from recsync.costs.budget import BudgetCheck, compare
from recsync.costs.prices import Charge, Price, PriceList, UsageKind
from recsync.program.operations import Budget

PRICES = PriceList(since="2026-01", prices={UsageKind.TRAINING_HOURS: Price(price=2)})


def asked(hours: float, *, used: float = 0, points: float = 0, **budget: float) -> BudgetCheck:
    charges = [
        Charge(UsageKind.TRAINING_HOURS, hours, "FULL training of shop"),
        Charge(UsageKind.DATA_POINTS, points, "delivery"),
    ]
    before = {UsageKind.TRAINING_HOURS: used, UsageKind.DATA_POINTS: 900.0}
    return compare(Budget.model_validate(budget), "2026-11", PRICES, "USD", before, charges)


def test_what_fits_exactly_is_allowed_and_a_cent_more_is_not() -> None:
    assert not asked(2, used=3, monthly=10).refusals
    (refusal,) = asked(2.005, used=3, monthly=10).refusals
    assert refusal == "budget.monthly: 6.00 USD used or promised so far + 4.01 USD expected > 10.00 USD"


def test_it_warns_from_the_share_on() -> None:
    assert not asked(0.9, used=3, monthly=10).warnings
    assert asked(1, used=3, monthly=10).warnings == ("budget.monthly: 2026-11 comes to 80% of 10.00 USD",)
    assert asked(1, used=3, monthly=10, warn_at=0.9).warnings == ()
    assert not asked(9, used=3, monthly=10).warnings, "what is refused is not warned about as well"


def test_data_points_have_a_limit_of_their_own() -> None:
    assert not asked(9, points=100, data_points_per_month=1000).refusals
    (refusal,) = asked(0, points=101, data_points_per_month=1000).refusals
    assert "900 Braze data points used or promised so far + 101 Braze data points expected" in refusal


def test_what_costs_nothing_is_not_stopped_by_a_month_over_its_limit() -> None:
    assert not asked(0, used=30, points=5, monthly=10).refusals
    assert asked(0.1, used=30, monthly=10).refusals


def test_the_lines_say_each_step_the_month_and_the_limit() -> None:
    assert asked(1.5, used=3, points=20, monthly=10).lines == (
        "FULL training of shop: 1.50 training hours, 3.00 USD",
        "delivery: 20 Braze data points, no price",
        "Expected together: 3.00 USD",
        "2026-11 so far, with what other runs have begun: 6.00 USD",
        "Budget: 10.00 USD a month (budget.monthly)",
    )
    assert asked(1).lines[-1] == "Budget: no limit"


@pytest.mark.parametrize("hours", [0, 1e9])
def test_without_a_limit_nothing_is_refused(hours: float) -> None:
    assert not asked(hours, points=1e9).refusals
