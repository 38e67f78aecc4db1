"""Check before a billed step whether the month's budget allows it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from recsync.alerts import Event, send
from recsync.context import StageContext
from recsync.costs.estimate import after_promotion, delivery_charges, prices
from recsync.costs.ledger import CostLedger, Month, month_of
from recsync.costs.prices import Charge, PriceList, UsageKind, format_money, format_use
from recsync.costs.usage import other_ledgers
from recsync.errors import BudgetExceededError, FatalError
from recsync.program.operations import Budget

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BudgetCheck:
    """What a step would add to a month.

    :param lines: the estimate by charge, and the month, for the log and for approvals.
    :param refusals: limits that the step would exceed.
    :param warnings: limits that the month comes near to.
    """

    month: str
    lines: tuple[str, ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


def check_budget(context: StageContext, run: str, charges: Sequence[Charge]) -> None:
    """Log the estimate of a step, and stop the run before the step when the month's budget does not allow it.

    An allowed estimate counts at once, so that two runs cannot spend the same remainder. What an earlier try of the
    run has recorded is not counted again.

    :param run: run key; a second call replaces the run's earlier estimate.
    :param charges: of the step and of what the run does after it.
    :raises BudgetExceededError: before anything of the step exists.
    """
    now = datetime.now(UTC)
    checks: list[BudgetCheck] = []
    others = list(other_ledgers(context, month_of(now)))
    # What another program over the data has paid for is found, not paid again.
    charges = [charge for charge in charges if not any(other.has_recorded(charge.job) for other in others)]

    def reserve(month: Month) -> Month:
        check = _checked(context, month, run, charges, now)
        checks.append(check)
        if check.refusals:
            raise BudgetExceededError(
                f"The next billed step of {context.program.name} was not started, and nothing of it exists: "
                f"{'; '.join(check.refusals)}. "
                f"{' | '.join(check.lines)}. "
                f"Raise budget in the program file and clear this task, or wait for the next month; `make costs "
                f"PROGRAM={context.program.name}` shows what was used."
            )
        return month.with_estimate(
            run, [charge for charge in charges if not month.has_recorded(charge.job)], now
        )

    context.store(CostLedger).change(month_of(now), reserve)
    check = checks[-1]
    for line in check.lines:
        log.info("%s", line)
    if check.warnings:
        log.warning("%s", "; ".join(check.warnings))
        text = "\n".join([*check.warnings, *check.lines, "Above the limit, no billed step is started."])
        subject = f"The budget of {check.month} is nearly used up"
        send(context.program, Event.BUDGET_WARNING, subject, text, key=f"budget {check.month}")


def cost_after_promotion(context: StageContext) -> str:
    """Return the estimate of the steps after a promotion, the month so far and the budget, as a Markdown list."""
    charges, now = after_promotion(context), datetime.now(UTC)
    lines = _checked(context, context.store(CostLedger).read(month_of(now)), "", charges, now).lines
    unknown = "No recommend run and no delivery is recorded yet, so their costs are unknown."
    title = "What the next recommend run and its delivery are expected to cost"
    return _markdown(title, lines if charges else [unknown, *lines])


def delivery_cost(program_name: str, delivery: str, data_points: int) -> str:
    """Return the estimate of a planned delivery, the month so far and the budget, as a Markdown list."""
    context, now = StageContext.of(program_name), datetime.now(UTC)
    month, charges = context.store(CostLedger).read(month_of(now)), delivery_charges(delivery, data_points)
    return _markdown("Cost", _checked(context, month, delivery, charges, now).lines)


def _markdown(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"**{title}**", "", *(f"* {line}" for line in lines)])


def _checked(
    context: StageContext, month: Month, run: str, charges: Sequence[Charge], now: datetime
) -> BudgetCheck:
    found, budget, name = prices(), context.program.budget, month_of(now)
    if budget.monthly is not None and not found.lists:
        raise FatalError(
            f"{context.program.name} has budget.monthly, but include/prices.yaml, which holds the prices, does not "
            "exist."
        )
    pending = [charge for charge in charges if not month.has_recorded(charge.job)]
    used = month.without_stale_estimates(now).without_estimate(run, charges).used()
    return compare(budget, name, found.of(name), found.currency, used, pending)


def compare(
    budget: Budget,
    month: str,
    prices: PriceList,
    currency: str,
    used: Mapping[UsageKind, float],
    charges: Sequence[Charge],
) -> BudgetCheck:
    """Compare the estimate of a step with the rest of the budget.

    :param used: in the month so far, with the estimates of other runs.
    """
    after = defaultdict(float, used)
    for charge in charges:
        after[charge.kind] += charge.quantity
    limits = list(_limits(budget, prices, currency, used, after))
    lines = [
        *_charge_lines(charges, prices, currency, used),
        f"{month} so far, with what other runs have begun: {format_money(prices.cost(used), currency)}",
    ]
    lines += [f"Budget: {limit.total} a month ({limit.field})" for limit in limits] or ["Budget: no limit"]
    return BudgetCheck(
        month,
        tuple(lines),
        refusals=tuple(
            f"{limit.field}: {limit.used} used or promised so far + {limit.added} expected > {limit.total}"
            for limit in limits
            if limit.exceeded
        ),
        warnings=tuple(
            f"{limit.field}: {month} comes to {limit.after / limit.limit:.0%} of {limit.total}"
            for limit in limits
            if not limit.exceeded and limit.after >= budget.warn_at * limit.limit
        ),
    )


@dataclass(frozen=True)
class _Limit:
    """One limit in its own unit; ``used``, ``added`` and ``total`` are formatted."""

    field: str
    limit: float
    before: float
    after: float
    used: str
    added: str
    total: str

    @property
    def exceeded(self) -> bool:
        # A free step is allowed even when the month is above its limit already.
        return self.after > self.limit and self.after > self.before


def _limits(
    budget: Budget,
    prices: PriceList,
    currency: str,
    used: Mapping[UsageKind, float],
    after: Mapping[UsageKind, float],
) -> Iterator[_Limit]:
    if (limit := budget.monthly) is not None:
        before, then = prices.cost(used), prices.cost(after)
        texts = [format_money(amount, currency) for amount in (before, then - before, limit)]
        yield _Limit("budget.monthly", limit, before, then, *texts)
    if (limit := budget.data_points_per_month) is not None:
        before, then = used.get(UsageKind.DATA_POINTS, 0), after.get(UsageKind.DATA_POINTS, 0)
        texts = [format_use(UsageKind.DATA_POINTS, quantity) for quantity in (before, then - before, limit)]
        yield _Limit("budget.data_points_per_month", limit, before, then, *texts)


def _charge_lines(
    charges: Sequence[Charge], prices: PriceList, currency: str, used: Mapping[UsageKind, float]
) -> Iterator[str]:
    sums, total = defaultdict(float, used), 0.0
    for charge in charges:
        before = prices.cost_of(charge.kind, sums[charge.kind])
        sums[charge.kind] += charge.quantity
        cost = prices.cost_of(charge.kind, sums[charge.kind]) - before
        total += cost
        price = format_money(cost, currency) if prices.is_known(charge.kind) else "no price"
        basis = f"; {charge.basis}" if charge.basis else ""
        yield f"{charge.what}: {format_use(charge.kind, charge.quantity)}, {price}{basis}"
    yield f"Expected together: {format_money(total, currency)}"
