"""Money: what billed steps are expected to cost, and whether the month's budget allows them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from recsync.alerts import Event, send
from recsync.context import StageContext
from recsync.costs.charges import Charge
from recsync.costs.estimate import after_promotion, prices
from recsync.costs.estimate import delivery as of_delivery
from recsync.costs.ledger import Month, month_of
from recsync.costs.store import MoneyStore
from recsync.costs.verdict import Verdict, judge
from recsync.errors import BudgetExceededError, FatalError

log = logging.getLogger(__name__)


def next_steps(context: StageContext) -> str:
    """Say what the next billed steps are expected to cost, what the month has cost so far, and the budget.

    :returns: a list in Markdown, for an approval.
    """
    charges, now = after_promotion(context), datetime.now(UTC)
    lines = list(_judged(context, context.store(MoneyStore).read(month_of(now)), "", charges, now).lines)
    if not charges:
        lines.insert(0, "No recommend run and no delivery is booked yet, so what one costs is not known.")
    return _markdown("What the next recommend run and its delivery are expected to cost", lines)


def cost_of_delivery(program_name: str, delivery: str, data_points: int) -> str:
    """Say what a planned delivery is expected to cost, for those who approve it.

    :returns: a list in Markdown.
    """
    context, now = StageContext.of(program_name), datetime.now(UTC)
    month, charges = context.store(MoneyStore).read(month_of(now)), of_delivery(delivery, data_points)
    return _markdown("Cost", _judged(context, month, delivery, charges, now).lines)


def authorise(context: StageContext, run: str, charges: Sequence[Charge]) -> None:
    """Log what a step is expected to cost, and stop the run before the step when the month's budget does not allow it.

    What is allowed counts at once, so that two runs cannot both spend what is left. What is booked already, by a former
    try of the run, is not counted again.

    :param run: key of the run; asked again, its former expectation of the same things is forgotten.
    :param charges: of the step and of what the run does after it.
    :raises BudgetExceededError: before anything of the step exists.
    """
    now = datetime.now(UTC)
    verdicts: list[Verdict] = []

    def expecting(month: Month) -> Month:
        verdict = _judged(context, month, run, charges, now)
        verdicts.append(verdict)
        if verdict.refusals:
            raise BudgetExceededError(_refusal(context, verdict))
        return month.expecting(run, [charge for charge in charges if not month.knows(charge.job)], now)

    context.store(MoneyStore).change(month_of(now), expecting)
    for line in verdicts[-1].lines:
        log.info("%s", line)
    if verdicts[-1].warnings:
        _warn(context, verdicts[-1])


def _judged(
    context: StageContext, month: Month, run: str, charges: Sequence[Charge], now: datetime
) -> Verdict:
    found = prices()
    if context.program.budget.monthly is not None and not found.lists:
        raise FatalError(
            f"{context.program.name} has budget.monthly, but include/prices.yaml, which says what things cost, is not "
            "there."
        )
    asked = [charge for charge in charges if not month.knows(charge.job)]
    used, name = month.without_stale(now).without(run, charges).used(), month_of(now)
    return judge(context.program.budget, name, found.of(name), found.currency, used, asked)


def _warn(context: StageContext, verdict: Verdict) -> None:
    log.warning("%s", "; ".join(verdict.warnings))
    text = "\n".join([*verdict.warnings, *verdict.lines, "Beyond the limit no billed step is begun."])
    subject = f"The budget of {verdict.month} is nearly used up"
    send(context.program, Event.BUDGET_WARNING, subject, text, key=f"budget {verdict.month}")


def _refusal(context: StageContext, verdict: Verdict) -> str:
    return (
        f"The next billed step of {context.program.name} is not begun, and nothing of it exists: "
        f"{'; '.join(verdict.refusals)}. "
        f"{' | '.join(verdict.lines)}. "
        f"Raise budget in the program file and clear this task, or wait for the next month; `make costs "
        f"PROGRAM={context.program.name}` shows what was used."
    )


def _markdown(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"**{title}**", "", *(f"* {line}" for line in lines)])
