"""Record usage that no task recorded: of killed runs, and of API calls by hand."""

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
from recsync import settings
from recsync.context import StageContext
from recsync.costs.ledger import CostLedger, Month, month_of
from recsync.costs.usage import INCOMPLETE, billed, other_ledgers, record_delivery, record_usage
from recsync.program.names import dataset_group_name, is_job_of
from recsync.push.accounts import taken_data_points
from recsync.push.ledger import Status
from recsync.push.store import Deliveries

log = logging.getLogger(__name__)

_PLAN = "/plan.json"


def reconcile(context: StageContext) -> int:
    """Record the missing usage of this month and the one before, and drop stale estimates.

    Must run before maintain removes what shows the sizes: objects on S3, and solutions with their versions.

    :returns: how many uses were recorded.
    """
    now = datetime.now(UTC)
    since = (now.replace(day=1) - timedelta(days=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    months = {name: context.store(CostLedger).read(name) for name in {month_of(since), month_of(now)}}
    known = {key for month in months.values() for key in month.entries}
    known |= {key for name in months for month in other_ledgers(context, name) for key in month.entries}
    complete = {
        key for month in months.values() for key, entry in month.entries.items() if entry.note != INCOMPLETE
    }
    missing = [arn for arn in _used(context, months.values(), since) if arn not in known]
    recorded = record_usage(context, *missing)
    for delivery in _deliveries(context, since):
        if delivery not in complete:
            recorded += _record_delivery(context, delivery)
    for name in months:
        context.store(CostLedger).change(name, lambda month: month.without_stale_estimates(now))
    log.info("Recorded %d uses of %s that no task recorded", recorded, context.program.name)
    return recorded


def _used(context: StageContext, months: Iterable[Month], since: datetime) -> Iterator[str]:
    """Yield the ARNs of the program's billed resources that the account shows.

    Imports and trainings that no run recorded are the owner's of the data; a job is of the program that it names.
    """
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    name = dataset_group_name(context.program)
    group = next((g["datasetGroupArn"] for g in hook.listed(DATASET_GROUP) if g["name"] == name), None)
    if group is None:
        return

    own, (_, *sharers) = context.program.name, settings.names_over_data(context.program)

    def is_own(name: str) -> bool:
        def names(program: str) -> bool:
            return name == f"{program}-recommend" or is_job_of(program, name)

        return names(own) if context.program.data else not any(map(names, sharers))

    def billed_since(resource: Resource, **parent: str) -> list[Mapping[str, Any]]:
        listed = hook.listed(resource, **parent)
        return [found for found in listed if found["creationDateTime"] >= since and billed(found)]

    solutions = {s["solutionArn"] for s in hook.listed(SOLUTION, datasetGroupArn=group)}
    if context.program.data is None:
        for dataset in hook.listed(DATASET, datasetGroupArn=group):
            for job in billed_since(DATASET_IMPORT_JOB, datasetArn=dataset["datasetArn"]):
                yield job["datasetImportJobArn"]
        for solution in sorted(solutions):
            for version in billed_since(SOLUTION_VERSION, solutionArn=solution):
                yield version["solutionVersionArn"]
    # Jobs outlive their solutions, but the trainings of those are recorded.
    solutions |= {e.of for month in months for e in month.entries.values() if ":solution/" in e.of}
    for resource in (BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB):
        for job in billed_since(resource):
            if job["solutionVersionArn"].rsplit("/", 1)[0] in solutions and is_own(job["jobName"]):
                yield job[resource.arn_member]
    # Campaigns of any age: their entries grow while they exist.
    for solution in solutions:
        for campaign in filter(billed, hook.listed(CAMPAIGN, solutionArn=solution)):
            if is_own(campaign["name"]):
                yield campaign["campaignArn"]


def _deliveries(context: StageContext, since: datetime) -> list[str]:
    """List the deliveries planned since a moment; their names begin with the time."""
    prefix = context.keys.all_deliveries
    plans = [key.removeprefix(prefix) for key in context.bucket.keys(prefix) if key.endswith(_PLAN)]
    first = f"{since:%Y%m%dT%H%M%S}"
    return [plan.removesuffix(_PLAN) for plan in plans if plan >= first]


def _record_delivery(context: StageContext, delivery: str) -> bool:
    """Record a delivery by its report, or by its ledger so far when it has no report."""
    report = context.store(Deliveries).report(delivery, "report")
    if report is not None:
        record_delivery(context, delivery, int(report["data_points"]))
        return True
    manifest = context.store(Deliveries).plan(delivery)
    ledger, _ = context.store(Deliveries).read_ledger(delivery, manifest.figures.total_rows)
    if manifest.dry_run or not ledger.count(Status.TAKEN):
        return False
    with TemporaryDirectory(prefix="recsync-costs-") as name:
        folder = Path(name)
        context.store(Deliveries).download(delivery, folder)
        points = taken_data_points(folder, manifest.figures, ledger, folder)
    record_delivery(context, delivery, points, note=INCOMPLETE)
    return True
