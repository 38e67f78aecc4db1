"""The pages about costs: what each month cost by program and step, beside the budget.

They show the ledger only. ``make costs`` and ``maintain`` also look for use that was not recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from recsync.context import StageContext
from recsync.cost_report import Bill, share_of
from recsync.costs.estimate import prices
from recsync.costs.ledger import CostLedger, month_of
from recsync.costs.prices import UNITS, Prices, UsageKind, format_money, format_quantity
from recsync.errors import RecsyncError
from recsync.ui.access import Address, Program, Programs, card, render
from recsync.ui.charts import Chart, Point, over_time
from recsync.ui.mount import COSTS

router = APIRouter(prefix=COSTS, default_response_class=HTMLResponse)
_TITLE = "Costs"
_MONTHS = 24
# The step that is billed by each kind.
STEPS = {
    UsageKind.INGESTED_BYTES: "import",
    UsageKind.TRAINING_HOURS: "training",
    UsageKind.TRAINED_INTERACTIONS: "training by interactions",
    UsageKind.BATCH_RECOMMENDATIONS: "batch inference",
    UsageKind.BATCH_SEGMENT_USERS: "audience segment",
    UsageKind.CAMPAIGN_TPS_HOURS: "campaign",
    UsageKind.RECOMMENDER_RPS_HOURS: "recommender",
    UsageKind.DATA_POINTS: "delivery to Braze",
}


@router.get("")
def overview(programs: Programs, address: Address) -> str:
    """Show this month of each of the user's programs, and what the months cost by program."""
    found = [_bills(name, every=True) for name in programs]
    this_month = month_of(datetime.now(UTC))
    cards = [
        {**each, "more": f"{address}{COSTS}/{each['program']}"}
        | {"months": [shown for shown in each.get("months", ()) if shown["month"] == this_month]}
        for each in found
    ]
    points = [
        Point(bill.month, bill.program, _cost(bill, each["prices"]))
        for each in found
        for bill in each.get("bills", ())
    ]
    currency = next((each["prices"].currency for each in found if "prices" in each), "")
    return render("costs.html", _TITLE, cards=cards, charts=_by_month(points, currency))


@router.get("/{program}")
def months(program: Program, address: Address) -> str:
    """Show every month of a program by step, beside its budget."""
    found = _bills(program, every=True)
    return render(
        "costs.html",
        f"{_TITLE} of {program}",
        trail=[(_TITLE, f"{address}{COSTS}")],
        cards=[found | {"title": ""}],
        charts=_charts(found["bills"], found["prices"]) if "bills" in found else (),
    )


def _bills(program: str, *, every: bool) -> dict[str, Any]:
    def read(context: StageContext) -> dict[str, Any]:
        listed, now = prices(), datetime.now(UTC)
        ledger = context.store(CostLedger)
        names = sorted({*ledger.months(), month_of(now)}, reverse=True)[:_MONTHS]
        bills = [
            Bill(program, name, ledger.read(name).without_stale_estimates(now), context.program.budget)
            for name in names
        ]
        used = [bill for bill in bills if bill.ledger.entries]
        shown = [
            _shown(context, bill, listed) for bill in bills if bill in used or (used and bill is bills[0])
        ]
        return {"bills": used, "prices": listed, "months": shown}

    return card(program, read)


def _shown(context: StageContext, bill: Bill, listed: Prices) -> dict[str, Any]:
    of_month, used, currency = listed.of(bill.month), bill.used, listed.currency
    recorded = bill.ledger.recorded().entries.values()
    total = of_month.cost(used)
    expected = of_month.cost(bill.ledger.used()) - total
    share = None
    with suppress(RecsyncError):  # the file of another program over the data is broken
        share = share_of(context, bill.month)
    return {
        "month": bill.month,
        "total": format_money(total, currency),
        "expected": format_money(expected, currency) if expected else "",
        "share": "" if share is None else format_money(share, currency),
        "limits": list(_limits(bill, total, currency)),
        "steps": [
            {
                "name": STEPS[kind],
                "unit": UNITS[kind],
                "times": sum(entry.kind is kind for entry in recorded),
                "quantity": format_quantity(kind, used[kind]),
                "cost": format_money(of_month.cost_of(kind, used[kind]), currency)
                if of_month.is_known(kind)
                else "no price",
            }
            for kind in UsageKind
            if used.get(kind)
        ],
    }


def _limits(bill: Bill, total: float, currency: str) -> Iterator[dict[str, Any]]:
    budget, points = bill.budget, bill.used.get(UsageKind.DATA_POINTS, 0.0)
    for name, used, limit, text in (
        ("the budget", total, budget.monthly, format_money(budget.monthly or 0, currency)),
        ("the data points", points, budget.data_points_per_month, f"{budget.data_points_per_month or 0:,}"),
    ):
        if limit:
            level = "stop" if used > limit else "warn" if used >= budget.warn_at * limit else ""
            yield {"name": name, "used": used / limit, "total": text, "level": level}


def _cost(bill: Bill, listed: Prices) -> float:
    return listed.of(bill.month).cost(bill.used)


def _charts(bills: Sequence[Bill], listed: Prices) -> list[Chart]:
    """Draw the months of one program by step, and its data points, each beside its limit."""
    costs = [
        Point(bill.month, STEPS[kind], listed.of(bill.month).cost_of(kind, bill.used[kind]))
        for kind in UsageKind
        for bill in bills
        if bill.used.get(kind) and listed.of(bill.month).is_known(kind)
    ]
    points = [Point(bill.month, "data points", bill.used.get(UsageKind.DATA_POINTS)) for bill in bills]
    budget = bills[0].budget if bills else None
    charts = _by_month(costs, listed.currency, budget.monthly if budget else None)
    limit = budget.data_points_per_month if budget else None
    drawn = over_time(
        "Data points by month", points, unit="Data points", mark="bars", when="Month",
        limit=("the limit of data points", limit) if limit else None,
    )  # fmt: skip
    return charts + ([drawn] if drawn else [])


def _by_month(points: Sequence[Point], currency: str, budget: float | None = None) -> list[Chart]:
    drawn = over_time(
        "Costs by month", points, unit=currency, mark="bars", axis=",.4~f", when="Month",
        write=lambda amount: "—" if amount is None else format_money(amount, currency),
        limit=("the budget", budget) if budget else None,
    )  # fmt: skip
    return [drawn] if drawn else []
