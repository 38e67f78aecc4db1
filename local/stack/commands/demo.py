"""Show the whole of recsync on the sample data: start everything, train, update, push, and say what happened."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime, timedelta

from stack.airflow_api import Json
from stack.chain import Chain
from stack.commands.run import chain
from stack.console import login_hint, make_plan, say
from stack.parts import Plan
from stack.report import Personalize, Sandbox, delivery_lines, export_rows, exported_ids
from stack.supervisor import Supervisor

HELP = "start the stack, run the sample program end to end, and sum up what happened"

PROGRAM = "grocery"
# So many of the last hours are left to the hourly path; the FULL training sees what was before them. The shops of the
# sample are closed for up to eight hours of a night.
HOURS = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take none: the demo is one thing."""


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
    lines = _summary(plan, followed, until, full_rows, hourly_rows)
    print("\n".join(["", f"Done in {time.monotonic() - started:.0f} s.", *lines]))
    print("\n".join(["", "First delivery", *_indented(delivery_lines(first))]))
    print("\n".join(["", "Delivery after the update", *_indented(delivery_lines(second))]))
    print("\n".join(["", *_new_items(plan, until), *_one_customer(plan), "", *_where(plan)]))
    return 0


def _summary(
    plan: Plan, followed: Chain, until: datetime, full_rows: dict[str, int], hourly_rows: dict[str, int]
) -> list[str]:
    personalize = Personalize(plan.url("personalize"), PROGRAM)
    return [
        "",
        "Warehouse to S3",
        *_indented([f"full snapshot   {_rows(full_rows)}", f"hourly          {_rows(hourly_rows)}"]),
        "",
        "Amazon Personalize (local)",
        *_indented(personalize.job_lines()),
        "",
        "Metrics, from GetSolutionMetrics of both FULL versions, same data and split",
        *_indented(personalize.metric_lines()),
    ]


def _rows(rows: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {dataset}" for dataset, count in rows.items()) or "nothing"


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _new_items(plan: Plan, until: datetime) -> list[str]:
    """Say whom the products that came with the last hours are recommended to."""
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


def _one_customer(plan: Plan) -> list[str]:
    """Show the first household's list as the marketer would see it, with names from the Braze catalogue."""
    sandbox = Sandbox(plan.url("braze"), plan.secrets.braze_api_key)
    lists = {who: a["recs_grocery"] for who, a in sandbox.profiles().items() if a.get("recs_grocery")}
    if not lists:
        return []
    who = min(lists)
    catalogue = sandbox.catalog_items("grocery_products")
    items = [catalogue[item_id] for item_id in lists[who]]
    shown = [f"{n:>4}. {item['name']} ({_price(item)})" for n, item in enumerate(items, start=1)]
    return [
        f"Braze sandbox: {len(lists):,} people have a list; its meter: {sandbox.metered()}",
        "",
        f"What household {who} will find in its e-mail",
        *shown,
        f"      {sandbox.page(who)}",
    ]


def _price(item: Json) -> str:
    return "no price" if item.get("price") is None else f"{item['price']:.2f}"


def _where(plan: Plan) -> list[str]:
    return [
        "Look around",
        f"  {login_hint(plan, show_password=True)}",
        f"  Braze sandbox: {plan.url('braze')}",
        f"  again:         make run PROGRAM={PROGRAM}   (nothing new: nothing is sent)",
        "  stop:          make down",
    ]
