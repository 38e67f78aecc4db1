"""Whether a step may be paid for: the month so far, what the step is expected to need, and the budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recsync.costs.charges import Charge, Kind
from recsync.costs.formatting import money, use
from recsync.costs.prices import PriceList
from recsync.program.operations import Budget


@dataclass(frozen=True)
class Verdict:
    """What a step does to a month.

    :param lines: the expectation, charge by charge, and the month, for the log and for approvals.
    :param refusals: why it may not begin; none when it may.
    :param warnings: of which limits the month comes near.
    """

    month: str
    lines: tuple[str, ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Limit:
    """One limit, in its own unit."""

    field: str
    limit: float
    before: float
    after: float
    used: str
    asked: str
    total: str

    @property
    def exceeded(self) -> bool:
        # What costs nothing is not stopped, even when the month is over its limit already.
        return self.after > self.limit and self.after > self.before

    def near(self, share: float) -> bool:
        return self.after >= share * self.limit


def judge(
    budget: Budget,
    month: str,
    prices: PriceList,
    currency: str,
    used: Mapping[Kind, float],
    charges: Sequence[Charge],
) -> Verdict:
    """Compare what a step is expected to need with what the budget leaves.

    :param used: in the month so far, and what other runs are going to use.
    """
    after = defaultdict(float, used)
    for charge in charges:
        after[charge.kind] += charge.quantity
    limits = list(_limits(budget, prices, currency, used, after))
    refusals = [
        f"{limit.field}: {limit.used} used or promised so far + {limit.asked} expected > {limit.total}"
        for limit in limits
        if limit.exceeded
    ]
    warnings = [
        f"{limit.field}: {month} comes to {limit.after / limit.limit:.0%} of {limit.total}"
        for limit in limits
        if not limit.exceeded and limit.near(budget.warn_at)
    ]
    lines = [*_charge_lines(charges, prices, currency, used), _month_line(month, prices, currency, used)]
    lines += [f"Budget: {limit.total} a month ({limit.field})" for limit in limits] or ["Budget: no limit"]
    return Verdict(month, tuple(lines), tuple(refusals), tuple(warnings))


def _limits(
    budget: Budget, prices: PriceList, currency: str, used: Mapping[Kind, float], after: Mapping[Kind, float]
) -> list[_Limit]:
    limits = []
    if budget.monthly is not None:
        before, then = prices.cost(used), prices.cost(after)
        words = [money(amount, currency) for amount in (before, then - before, budget.monthly)]
        limits.append(_Limit("budget.monthly", budget.monthly, before, then, *words))
    if budget.data_points_per_month is not None:
        points, limit = used.get(Kind.DATA_POINTS, 0), budget.data_points_per_month
        then = after.get(Kind.DATA_POINTS, 0)
        words = [use(Kind.DATA_POINTS, quantity) for quantity in (points, then - points, limit)]
        limits.append(_Limit("budget.data_points_per_month", limit, points, then, *words))
    return limits


def _charge_lines(
    charges: Sequence[Charge], prices: PriceList, currency: str, used: Mapping[Kind, float]
) -> list[str]:
    sums = defaultdict(float, used)
    lines, total = [], 0.0
    for charge in charges:
        before = prices.cost_of(charge.kind, sums[charge.kind])
        sums[charge.kind] += charge.quantity
        cost = prices.cost_of(charge.kind, sums[charge.kind]) - before
        total += cost
        price = money(cost, currency) if prices.is_known(charge.kind) else "no price"
        basis = f"; {charge.basis}" if charge.basis else ""
        lines.append(f"{charge.what}: {use(charge.kind, charge.quantity)}, {price}{basis}")
    return [*lines, f"Expected together: {money(total, currency)}"]


def _month_line(month: str, prices: PriceList, currency: str, used: Mapping[Kind, float]) -> str:
    return f"{month} so far, with what other runs have begun: {money(prices.cost(used), currency)}"
