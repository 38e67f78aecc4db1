"""Run recsync on the sample data: start everything, train, update, push, and print a summary."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime, timedelta

from stack.closing import closing_lines, experiment_lines
from stack.commands.run import chain
from stack.console import make_plan, say
from stack.parts import Plan
from stack.report import Sandbox, export_rows, exported_ids
from stack.supervisor import Supervisor

HELP = "start the stack, run the sample program end to end, and sum up what happened"

PROGRAM = "grocery"
# The FULL training uses the data before the last HOURS; the hourly path exports the rest. The sample's shops close
# for up to eight hours at night.
HOURS = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Run the demo."""
    started = time.monotonic()
    plan = make_plan()
    Supervisor(plan, say).up(airflow=True)
    followed = chain(plan, PROGRAM)
    followed.wait_for_dags()
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS)
    say(f"1/2  a week's work: FULL training on everything before {until:%Y-%m-%d %H:%M} UTC")
    first = followed.full(until)
    full_rows = export_rows(followed, "train_full", [followed.runs["train_full"]])
    say("2/2  the hours since: export, INCREMENTAL import, UPDATE training")
    second = followed.hourly()
    hourly_rows = export_rows(followed, "export", followed.exports(until))
    verdict = followed.lift()
    rows = [f"full snapshot   {_rows(full_rows)}", f"hourly          {_rows(hourly_rows)}"]
    lines = [
        f"Done in {time.monotonic() - started:.0f} s.",
        "",
        "Warehouse to S3",
        *(f"  {row}" for row in rows),
    ]
    deliveries = {"First delivery": first, "Delivery after the update": second}
    lines += ["", *_new_items(plan, until), *closing_lines(plan, followed, deliveries)]
    lines += experiment_lines(plan, PROGRAM, verdict)
    print("\n".join(["", *lines]))
    return 0


def _rows(rows: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {dataset}" for dataset, count in rows.items()) or "nothing"


def _new_items(plan: Plan, until: datetime) -> list[str]:
    """Count the people who get products that are new in the last hours."""
    new = exported_ids(
        plan.url("s3"), plan.settings.bucket, f"{PROGRAM}/exports/items/", f"{until:%Y-%m-%dT%H%M}Z"
    )
    sandbox = Sandbox(plan.url("braze"), plan.secrets.braze_api_key)
    lists = [attributes.get("recs_grocery") or [] for attributes in sandbox.profiles().values()]
    found = new & {item for items in lists for item in items}
    people = sum(bool(new.intersection(items)) for items in lists)
    return [
        f"New products: {len(new)} came with these hours; {len(found)} of them are recommended, to {people:,} people"
    ]
