"""Book what was used and never booked: the work of runs that were killed, and of people who used the API by hand."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resource import Resource
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    DATASET,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    SOLUTION,
    SOLUTION_VERSION,
)
from recsync.context import StageContext
from recsync.costs.ledger import Month, month_of
from recsync.costs.store import MoneyStore
from recsync.costs.usage import INCOMPLETE, billed, book, book_delivery
from recsync.program import names
from recsync.push.accounts import taken_data_points
from recsync.push.ledger import Status
from recsync.push.store import Deliveries

log = logging.getLogger(__name__)

_PLAN = "/plan.json"


def reconcile(context: StageContext) -> int:
    """Book what this month and the one before used and nobody booked, and drop expectations of runs that are over.

    Must run before retention deletes what tells the sizes: objects on S3, and solutions with their versions.

    :returns: how many uses were booked.
    """
    now = datetime.now(UTC)
    since = (now.replace(day=1) - timedelta(days=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    months = {name: context.store(MoneyStore).read(name) for name in {month_of(since), month_of(now)}}
    known = {key for month in months.values() for key in month.entries}
    complete = {
        key for month in months.values() for key, entry in month.entries.items() if entry.note != INCOMPLETE
    }
    missing = [arn for arn in _used(context, months.values(), since) if arn not in known]
    booked = book(context, *missing)
    for delivery in _deliveries(context, since):
        if delivery not in complete:
            booked += _book_delivery(context, delivery)
    for name in months:
        context.store(MoneyStore).change(name, lambda month: month.without_stale(now))
    log.info("%d uses of %s were not booked yet and are now", booked, context.program.name)
    return booked


def _used(context: StageContext, months: Iterable[Month], since: datetime) -> Iterator[str]:
    """Find the ARNs of everything billed that the account shows of the program."""
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    name = names.dataset_group_name(context.program)
    group = next((g["datasetGroupArn"] for g in hook.listed(DATASET_GROUP) if g["name"] == name), None)
    if group is None:
        return
    for dataset in hook.listed(DATASET, datasetGroupArn=group):
        yield from _new(hook, DATASET_IMPORT_JOB, since, datasetArn=dataset["datasetArn"])
    solutions = {s["solutionArn"] for s in hook.listed(SOLUTION, datasetGroupArn=group)}
    for solution in sorted(solutions):
        yield from _new(hook, SOLUTION_VERSION, since, solutionArn=solution)
    # Jobs outlive their solutions, whose trainings are booked.
    solutions |= {e.of for month in months for e in month.entries.values() if ":solution/" in e.of}
    for resource in (BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB):
        for job in _billed_since(hook, resource, since):
            if job["solutionVersionArn"].rsplit("/", 1)[0] in solutions:
                yield job[resource.arn_member]
    # A campaign's entry grows as long as it is there, so it is not looked for among what is booked.
    yield from (c["campaignArn"] for s in solutions for c in _campaigns(hook, s))


def _new(hook: PersonalizeHook, resource: Resource, since: datetime, **parent: str) -> Iterator[str]:
    return (str(found[resource.arn_member]) for found in _billed_since(hook, resource, since, **parent))


def _billed_since(
    hook: PersonalizeHook, resource: Resource, since: datetime, **parent: str
) -> Iterator[Mapping[str, Any]]:
    for found in hook.listed(resource, **parent):
        if found["creationDateTime"] >= since and billed(found):
            yield found


def _campaigns(hook: PersonalizeHook, solution: str) -> list[dict[str, Any]]:
    return [c for c in hook.listed(CAMPAIGN, solutionArn=solution) if billed(c)]


def _deliveries(context: StageContext, since: datetime) -> list[str]:
    """Name the deliveries planned since a moment; their names begin with the time."""
    prefix = context.keys.all_deliveries
    plans = [key.removeprefix(prefix) for key in context.bucket.keys(prefix) if key.endswith(_PLAN)]
    first = f"{since:%Y%m%dT%H%M%S}"
    return [plan.removesuffix(_PLAN) for plan in plans if plan >= first]


def _book_delivery(context: StageContext, delivery: str) -> bool:
    """Book a delivery: by its report, or by what its ledger says so far when it has none."""
    report = context.store(Deliveries).report(delivery, "report")
    if report is not None:
        book_delivery(context, delivery, int(report["data_points"]))
        return True
    manifest = context.store(Deliveries).plan(delivery)
    ledger, _ = context.store(Deliveries).read_ledger(delivery, manifest.figures.total_rows)
    if manifest.dry_run or not ledger.count(Status.TAKEN):
        return False
    with TemporaryDirectory(prefix="recsync-costs-") as name:
        folder = Path(name)
        context.store(Deliveries).download(delivery, folder)
        points = taken_data_points(folder, manifest.figures, ledger, folder)
    book_delivery(context, delivery, points, note=INCOMPLETE)
    return True
