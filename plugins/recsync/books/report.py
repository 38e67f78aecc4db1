"""Say what each program used and what it cost: ``python -m recsync.books.report [PROGRAM] [--month YYYY-MM]``.

What ``make costs`` runs. It needs Airflow's connections and settings in the environment, and no scheduler.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from recsync import settings
from recsync.books.reconcile import reconcile
from recsync.context import StageContext
from recsync.costs.estimate import prices
from recsync.costs.ledger import month_of
from recsync.costs.prices import MONTH_PATTERN
from recsync.costs.report import Bill, report
from recsync.costs.store import MoneyStore
from recsync.errors import DELIBERATE
from recsync.program.files import program_files


def main() -> int:
    """Record missing usage and print the bills; exit status 1 after a read error."""
    arguments = _parser().parse_args()
    programs = [arguments.program] if arguments.program else _programs()
    bills: list[Bill] = []
    failed = 0
    try:
        found = prices()
    except DELIBERATE as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for name in programs:
        try:
            every = bool(arguments.program) and not arguments.month
            bills += _bills(name, arguments.month or month_of(datetime.now(UTC)), every=every)
        except DELIBERATE as error:
            sys.stderr.write(f"error: {name}: {error}\n")
            failed = 1
    if arguments.json:
        sys.stdout.write(json.dumps([bill.as_json(found) for bill in bills], indent=1) + "\n")
    else:
        sys.stdout.write(report(bills, found) + "\n")
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recsync.books.report", description=__doc__)
    parser.add_argument("program", nargs="?", help="name of a file in include/programs; left out: all")
    parser.add_argument(
        "--month", type=_month, help="YYYY-MM (default: this month; of one program: every month)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, in the units of the ledger")
    return parser


def _month(text: str) -> str:
    if not re.match(MONTH_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r} is not YYYY-MM")
    return text


def _programs() -> list[str]:
    return [path.stem for path in program_files(settings.include_folder())]


def _bills(name: str, month: str, *, every: bool) -> Iterator[Bill]:
    context, now = StageContext.of(name), datetime.now(UTC)
    try:
        reconcile(context)
    except DELIBERATE as error:
        sys.stderr.write(f"{name}: what nobody booked is not looked for: {error}\n")
    for each in sorted({*context.store(MoneyStore).months(), month}) if every else [month]:
        ledger = context.store(MoneyStore).read(each).without_stale(now)
        yield Bill(name, each, ledger, context.program.budget)


if __name__ == "__main__":
    sys.exit(main())
