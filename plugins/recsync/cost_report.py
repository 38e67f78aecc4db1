"""Report the costs of each program: ``python -m recsync.cost_report [PROGRAM] [--month YYYY-MM]``.

``make costs`` runs it. It needs Airflow's connections and settings in the environment, and no scheduler.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from recsync import settings
from recsync.context import StageContext
from recsync.costs.estimate import prices, training
from recsync.costs.ledger import CostLedger, Month, UsageEntry, month_of
from recsync.costs.prices import (
    MONTH_PATTERN,
    UNITS,
    PriceList,
    Prices,
    UsageKind,
    format_money,
    format_quantity,
)
from recsync.costs.update_costs import UpdateCosts, compare
from recsync.costs.usage import rows_of_full
from recsync.errors import DELIBERATE, FATAL
from recsync.maintain.reconcile_costs import reconcile
from recsync.program.files import program_files
from recsync.program.operations import Budget
from recsync.training.tuning import solution_names


@dataclass(frozen=True)
class Bill:
    """One month of one program.

    :param updates: what its updates cost, and would have cost the other way; None without any.
    :param share: its cost when imports and trainings that several programs use are divided equally among them; None
        when it shares nothing, or another program's file is broken.
    """

    program: str
    month: str
    ledger: Month
    budget: Budget
    share: float | None = None
    updates: UpdateCosts | None = None

    @property
    def used(self) -> dict[UsageKind, float]:
        """Recorded use, without estimates."""
        return self.ledger.recorded().used()

    def as_json(self, prices: Prices) -> dict[str, Any]:
        """Return quantities in the units of the ledger, and costs."""
        listed, used = prices.of(self.month), self.used
        return {
            "program": self.program,
            "month": self.month,
            "currency": prices.currency,
            "used": {kind.value: used.get(kind, 0.0) for kind in UsageKind},
            "cost": {kind.value: listed.cost_of(kind, used.get(kind, 0.0)) for kind in UsageKind},
            "total": listed.cost(used),
            "expected": listed.cost(self.ledger.used()) - listed.cost(used),
            "budget": self.budget.monthly,
            "share": self.share,
            "updates": self.updates.as_json() if self.updates else None,
        }


def report(bills: Iterable[Bill], prices: Prices) -> str:
    """Format the bills, with their sum when there are several."""
    written, total = [], 0.0
    for bill in bills:
        written.append("\n".join(_bill(bill, prices)))
        total += prices.of(bill.month).cost(bill.used)
    if len(written) > 1:
        written.append(f"Together: {format_money(total, prices.currency)}")
    return "\n\n".join(written or ["No usage is recorded."])


def _bill(bill: Bill, prices: Prices) -> Iterator[str]:
    listed, used, currency = prices.of(bill.month), bill.used, prices.currency
    yield f"{bill.program}, {bill.month}"
    for kind, quantity in ((kind, used[kind]) for kind in UsageKind if used.get(kind)):
        known = listed.is_known(kind)
        cost = format_money(listed.cost_of(kind, quantity), currency) if known else "no price"
        yield f"  {UNITS[kind]:<26}{format_quantity(kind, quantity):>16}{cost:>18}"
    total = listed.cost(used)
    yield f"  {'total':<26}{'':>16}{format_money(total, currency):>18}"
    if bill.share is not None:
        yield f"  {'with its share of the data':<26}{'':>16}{format_money(bill.share, currency):>18}"
    if expected := listed.cost(bill.ledger.used()) - total:
        yield f"  {'expected by runs under way':<26}{'':>16}{format_money(expected, currency):>18}"
    for what, amount in bill.updates.lines(currency) if bill.updates else ():
        yield f"  {what:<42}{amount:>18}"
    if limit := bill.budget.monthly:
        yield f"  {'budget':<26}{f'{total / limit:.0%} used':>16}{format_money(limit, currency):>18}"
    if points := bill.budget.data_points_per_month:
        share = used.get(UsageKind.DATA_POINTS, 0.0) / points
        yield f"  {'budget of data points':<26}{f'{share:.0%} used':>16}{points:>18,}"


@dataclass(frozen=True)
class DataCosts:
    """The recorded use of the programs over the same data, in one month.

    :param used: program -> its recorded use.
    :param users: name of a solution -> the programs that use it.
    """

    used: Mapping[str, Month]
    users: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, context: StageContext, month: str) -> DataCosts:
        """Read the ledgers and the programs.

        :raises FatalError: when the file of one of them is broken.
        """
        users: dict[str, list[str]] = {}
        for each in context.over_data:
            for solution in solution_names(each):
                users.setdefault(solution, []).append(each.program.name)
        used = {
            each.program.name: each.store(CostLedger).read(month).recorded() for each in context.over_data
        }
        return cls(used, users)

    def share_of(self, program: str, prices: PriceList) -> float:
        """Return the cost of one program: what it uses alone, and equal shares of what it uses with others."""
        return sum(
            cost / len(sharing)
            for name, month in self.used.items()
            for cost, sharing in self._parts(name, month, prices)
            if program in sharing
        )

    def _parts(self, program: str, month: Month, prices: PriceList) -> Iterator[tuple[float, Sequence[str]]]:
        """Yield the cost of each entry of a ledger, by its part of the quantity, and the programs that share it."""
        used = month.used()
        for entry in month.entries.values():
            total = used[entry.kind]
            cost = prices.cost_of(entry.kind, total) * entry.quantity / total if total else 0.0
            yield cost, self._sharing(program, entry)

    def _sharing(self, program: str, entry: UsageEntry) -> Sequence[str]:
        if entry.kind is UsageKind.INGESTED_BYTES:
            return tuple(self.used)
        if entry.kind in {UsageKind.TRAINING_HOURS, UsageKind.TRAINED_INTERACTIONS}:
            return self.users.get(entry.of.rsplit("/", 1)[-1]) or (program,)
        return (program,)


def share_of(context: StageContext, month: str) -> float | None:
    """Return the cost of one program with its share of shared data; None when it shares none.

    :raises FatalError: when the file of another program over the data is broken.
    """
    if len(settings.names_over_data(context.program)) == 1:
        return None
    return DataCosts.of(context, month).share_of(context.program.name, prices().of(month))


def main() -> int:
    """Record missing usage and print the bills; exit status 1 after an error."""
    parser = argparse.ArgumentParser(prog="python -m recsync.cost_report", description=__doc__)
    parser.add_argument("program", nargs="?", help="name of a file in include/programs; left out: all")
    parser.add_argument(
        "--month", type=_month, help="YYYY-MM (default: this month; of one program: every month)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, in the units of the ledger")
    arguments = parser.parse_args()
    programs = (
        [arguments.program]
        if arguments.program
        else [path.stem for path in program_files(settings.include_folder())]
    )
    month, every = arguments.month or month_of(datetime.now(UTC)), arguments.program and not arguments.month
    bills: list[Bill] = []
    failed = 0
    try:
        found = prices()
    except DELIBERATE as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for name in programs:
        try:
            bills += _bills(name, month, every=bool(every))
        except DELIBERATE as error:
            sys.stderr.write(f"error: {name}: {error}\n")
            failed = 1
    text = (
        json.dumps([bill.as_json(found) for bill in bills], indent=1)
        if arguments.json
        else report(bills, found)
    )
    sys.stdout.write(f"{text}\n")
    return failed


def _month(text: str) -> str:
    if not re.match(MONTH_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r} is not YYYY-MM")
    return text


def _bills(name: str, month: str, *, every: bool) -> Iterator[Bill]:
    context, now = StageContext.of(name), datetime.now(UTC)
    try:
        reconcile(context)
    except DELIBERATE as error:
        sys.stderr.write(f"{name}: missing usage was not looked up: {error}\n")
    for each in sorted({*context.store(CostLedger).months(), month}) if every else [month]:
        ledger = context.store(CostLedger).read(each).without_stale_estimates(now)
        yield Bill(
            name, each, ledger, context.program.budget, _share(context, each), _updates(context, each, ledger)
        )


def _updates(context: StageContext, month: str, ledger: Month) -> UpdateCosts | None:
    """Compare the updates of a month with the other way; the owner of the data alone updates it."""
    if context.program.data is not None:
        return None
    recipe, listed = context.program.personalize.recipe_spec, prices()
    mode = "UPDATE" if recipe.update else "FULL"
    one = training(
        ledger.entries.values(),
        recipe=recipe.name,
        mode=mode,
        rows=rows_of_full(context),
        what=f"{mode} trainings",
        job="",
        assumed_hours=listed.assumed.training_hours,
    )
    return compare(ledger.recorded(), listed.of(month), one)


def _share(context: StageContext, month: str) -> float | None:
    try:
        return share_of(context, month)
    except FATAL as error:
        sys.stderr.write(f"{context.program.name}: its share of the data is not known: {error}\n")
        return None


if __name__ == "__main__":
    sys.exit(main())
