"""Book what was used, each thing once: by the ARN of what was billed, or the name of a delivery.

Booking never fails a step whose work is done: what cannot be booked now is found by the daily reconciliation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resource import Arn, Resource
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    DATASET_IMPORT_JOB,
    SOLUTION_VERSION,
)
from airflow_personalize.status import State, state_of, was_stopped
from recsync.context import StageContext
from recsync.costs import sizes
from recsync.costs.charges import Charge, Kind
from recsync.costs.ledger import Entry, first_name, month_of
from recsync.costs.store import MoneyStore
from recsync.costs.training_estimates import SEARCH, counts_interactions

log = logging.getLogger(__name__)

INCOMPLETE = "not complete"
_SECONDS_PER_HOUR = 3600


def book(context: StageContext, *arns: str | None) -> int:
    """Book import jobs, solution versions, batch jobs and campaigns; what is booked already stays as it is.

    :param arns: None is passed over.
    :returns: how many could be booked.
    """
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    return sum(_booked(context, hook, arn) for arn in arns if arn)


def book_imports(context: StageContext, jobs: Iterable[Mapping[str, str]]) -> None:
    """Book the import jobs of a run, whichever of their tries did the work.

    :param jobs: ``name`` of the first try, and ``dataset_arn``.
    """
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    for job in jobs:
        try:
            tries = hook.listed(DATASET_IMPORT_JOB, datasetArn=job["dataset_arn"])
        except Exception as error:  # ruff: ignore[blind-except] - as the module says
            log.warning("Import job %s is not booked yet: %s", job["name"], error)
            continue
        done = (t for t in tries if billed(t) and first_name(t["jobName"]) == first_name(job["name"]))
        book(context, *(str(each["datasetImportJobArn"]) for each in done))


def book_delivery(context: StageContext, delivery: str, data_points: int, *, note: str = "") -> None:
    """Book the data points of what Braze took; what it was sent twice, after an unclear answer, counts once."""
    entry = Entry(Kind.DATA_POINTS, data_points, _created(delivery), name=delivery, note=note)
    try:
        _add(context, delivery, entry)
    except Exception as error:  # ruff: ignore[blind-except] - as the module says
        log.warning("Delivery %s is not booked yet: %s", delivery, error)


def book_campaign(context: StageContext, arn: str, run: str) -> None:
    """Book a campaign up to now; what its run expected of it goes, as the campaigns of all runs have one name.

    :param run: key of the recommend run.
    """
    book(context, arn)
    what = Charge(Kind.CAMPAIGN_TPS_HOURS, 0, campaign_use(arn.rsplit("/", 1)[-1]))
    try:
        context.store(MoneyStore).change(
            month_of(datetime.now(UTC)), lambda month: month.without(run, [what])
        )
    except Exception as error:  # ruff: ignore[blind-except] - as the module says
        log.warning("What run %s expected of its campaign still counts: %s", run, error)


def campaign_use(name: str) -> str:
    """Say what a campaign's charge is for."""
    return f"campaign {name}"


def billed(summary: Mapping[str, Any]) -> bool:
    """Tell from a summary or description whether it is billed.

    A training that was stopped is billed for what it did: StopSolutionVersionCreation's page in the API reference.
    """
    return state_of(summary) is State.READY or was_stopped(summary)


def _booked(context: StageContext, hook: PersonalizeHook, arn: str) -> bool:
    try:
        resource, quantify = _KINDS[Arn.parse(arn).tail.split("/")[0]]
        found = hook.describe_if_any(resource, arn)
        if found is None or not billed(found):
            return False
        key, entry = quantify(context, arn, found)
        _add(context, key, entry)
    except Exception as error:  # ruff: ignore[blind-except] - as the module says
        log.warning("%s is not booked yet: %s", arn, error)
        return False
    return True


def _add(context: StageContext, key: str, entry: Entry) -> None:
    month = entry.at[:7]
    former = context.store(MoneyStore).read(month)
    context.store(MoneyStore).change(month, lambda now: now.booked(key, entry))
    if key not in former.entries:
        log.info("Booked %s %s: %s", entry.kind.value, f"{entry.quantity:g}", key)


def _import(context: StageContext, arn: str, job: Mapping[str, Any]) -> tuple[str, Entry]:
    size = sizes.imported_bytes(context, job["dataSource"]["dataLocation"])
    note = "" if size else "the objects are gone"
    mode = job.get("importMode") or "FULL"
    of = str(job["datasetArn"])
    return arn, Entry(Kind.INGESTED_BYTES, size, _at(job), name=job["jobName"], of=of, mode=mode, note=note)


def _training(context: StageContext, arn: str, version: Mapping[str, Any]) -> tuple[str, Entry]:
    recipe = str(version.get("recipeArn", "")).rsplit("/", 1)[-1]
    mode = str(version.get("trainingMode") or "FULL")
    hours = float(version.get("trainingHours") or 0.0)
    rows = sizes.rows_of_full(context, version["creationDateTime"])
    kind, quantity, note = Kind.TRAINING_HOURS, hours, ""
    if counts_interactions(recipe):
        kind, quantity = Kind.TRAINED_INTERACTIONS, float(rows or 0)
        note = f"{hours:g} hours" if rows else "the manifest of its data is gone"
    return arn, Entry(
        kind,
        quantity,
        _at(version),
        name=str(version.get("name") or ""),
        of=str(version["solutionArn"]),
        recipe=recipe,
        mode=SEARCH if version.get("performHPO") and mode == "FULL" else mode,
        rows=rows,
        note=note,
    )


def _inference(context: StageContext, arn: str, job: Mapping[str, Any]) -> tuple[str, Entry]:
    answered = sizes.answered_lines(context, job["jobOutput"]["s3DataDestination"]["path"])
    note, of = "", str(job["solutionVersionArn"])
    if answered is None:
        note, answered = "the output is gone", sizes.lines(context, job["jobInput"]["s3DataSource"]["path"])
    return arn, Entry(Kind.BATCH_RECOMMENDATIONS, answered, _at(job), name=job["jobName"], of=of, note=note)


def _segment(context: StageContext, arn: str, job: Mapping[str, Any]) -> tuple[str, Entry]:
    found = sizes.segment_users(context, job["jobOutput"]["s3DataDestination"]["path"])
    note, of = "" if found else "nobody was found, or the output is gone", str(job["solutionVersionArn"])
    return arn, Entry(Kind.BATCH_SEGMENT_USERS, found, _at(job), name=job["jobName"], of=of, note=note)


def _campaign(context: StageContext, arn: str, campaign: Mapping[str, Any]) -> tuple[str, Entry]:
    """Count from when it became ACTIVE to now; booked again later, the entry grows."""
    age = datetime.now(UTC) - campaign["lastUpdatedDateTime"]
    hours = age.total_seconds() / _SECONDS_PER_HOUR * float(campaign.get("minProvisionedTPS") or 1)
    of, name = str(campaign["solutionVersionArn"]), str(campaign["name"])
    # Every recommend run has a campaign of the same name.
    return f"{arn}@{_at(campaign)}", Entry(Kind.CAMPAIGN_TPS_HOURS, hours, _at(campaign), name=name, of=of)


_Quantify = Callable[[StageContext, str, Mapping[str, Any]], tuple[str, Entry]]
# By the first word of the ARN's tail.
_KINDS: Mapping[str, tuple[Resource, _Quantify]] = {
    "dataset-import-job": (DATASET_IMPORT_JOB, _import),
    "solution": (SOLUTION_VERSION, _training),
    "batch-inference-job": (BATCH_INFERENCE_JOB, _inference),
    "batch-segment-job": (BATCH_SEGMENT_JOB, _segment),
    "campaign": (CAMPAIGN, _campaign),
}


def _at(described: Mapping[str, Any]) -> str:
    return str(described["creationDateTime"].astimezone(UTC).isoformat())


def _created(delivery: str) -> str:
    """Read from the name of a delivery when it was planned."""
    return datetime.strptime(delivery[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).isoformat()
