"""The report: what each program used in each month, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from recsync.costs.charges import Kind
from recsync.costs.formatting import money, number, unit
from recsync.costs.ledger import Month
from recsync.costs.prices import Prices
from recsync.program.operations import Budget


@dataclass(frozen=True)
class Bill:
    """One month of one program."""

    program: str
    month: str
    ledger: Month
    budget: Budget

    @property
    def used(self) -> dict[Kind, float]:
        """What is booked."""
        return self.ledger.without_expected().used()

    def as_json(self, prices: Prices) -> dict[str, Any]:
        """Give quantities in the units of the ledger, and costs."""
        listed, used = prices.of(self.month), self.used
        return {
            "program": self.program,
            "month": self.month,
            "currency": prices.currency,
            "used": {kind.value: used.get(kind, 0.0) for kind in Kind},
            "cost": {kind.value: listed.cost_of(kind, used.get(kind, 0.0)) for kind in Kind},
            "total": listed.cost(used),
            "expected": listed.cost(self.ledger.used()) - listed.cost(used),
            "budget": self.budget.monthly,
        }


def report(bills: Iterable[Bill], prices: Prices) -> str:
    """Write the bills as text, with their sum when there are several."""
    written, total = [], 0.0
    for bill in bills:
        written.append("\n".join(_bill(bill, prices)))
        total += prices.of(bill.month).cost(bill.used)
    if len(written) > 1:
        written.append(f"Together: {money(total, prices.currency)}")
    return "\n\n".join(written or ["Nothing is booked."])


def _bill(bill: Bill, prices: Prices) -> Iterator[str]:
    listed, used, currency = prices.of(bill.month), bill.used, prices.currency
    yield f"{bill.program}, {bill.month}"
    for kind, quantity in ((kind, used[kind]) for kind in Kind if used.get(kind)):
        known = listed.is_known(kind)
        cost = money(listed.cost_of(kind, quantity), currency) if known else "no price"
        yield f"  {unit(kind):<26}{number(kind, quantity):>16}{cost:>18}"
    total = listed.cost(used)
    yield f"  {'total':<26}{'':>16}{money(total, currency):>18}"
    if expected := listed.cost(bill.ledger.used()) - total:
        yield f"  {'expected by runs under way':<26}{'':>16}{money(expected, currency):>18}"
    if limit := bill.budget.monthly:
        yield f"  {'budget':<26}{f'{total / limit:.0%} used':>16}{money(limit, currency):>18}"
    if points := bill.budget.data_points_per_month:
        share = used.get(Kind.DATA_POINTS, 0.0) / points
        yield f"  {'budget of data points':<26}{f'{share:.0%} used':>16}{points:>18,}"
