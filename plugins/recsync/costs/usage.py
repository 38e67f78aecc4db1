"""Measure usage, and record it once per billed resource or delivery.

Recording never fails a finished step: the daily reconciliation records the usage that could not be recorded then.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resource import Arn, Resource, State, state_of, was_stopped
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    DATASET_IMPORT_JOB,
    SOLUTION_VERSION,
)
from recsync import settings
from recsync.context import StageContext
from recsync.costs.ledger import CostLedger, Month, UsageEntry, first_name, month_of
from recsync.costs.prices import Charge, UsageKind
from recsync.program import DatasetType
from recsync.storage.batch_lines import parse_answer, read_lines
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

log = logging.getLogger(__name__)

HPO = "HPO"
"""The mode of a training that searches for hyperparameters."""
STREAM = "STREAM"
"""The mode of rows that were streamed instead of imported."""
INCOMPLETE = "not complete"
"""The note of a delivery that was recorded before its report was written."""

_SECONDS_PER_HOUR = 3600
_EVENTS = DatasetType.INTERACTIONS.value


def imported_bytes(context: StageContext, uri: str) -> int:
    """Sum up the objects that an import of a location reads; 0 when they are gone."""
    bucket, key = _located(context, uri)
    if key.endswith("/"):
        return sum(entry["Size"] for entry in bucket.listed(key, first_level=True))
    return bucket.size_bytes(key) or 0


def count_lines(context: StageContext, uri: str) -> int:
    """Count the lines of a job's input; 0 when it is gone."""
    bucket, key = _located(context, uri)
    return sum(1 for _ in read_lines(bucket.stream(key))) if bucket.etag(key) else 0


def answered_lines(context: StageContext, uri: str) -> int | None:
    """Count the lines without an error in a batch inference job's output; None when it is gone."""
    bucket, outputs = _outputs(context, uri)
    if not outputs:
        return None
    return sum(1 for key in outputs for line in read_lines(bucket.stream(key)) if _is_answer(line))


def segment_users(context: StageContext, uri: str) -> int:
    """Count the users in the output of a batch segment job."""
    bucket, outputs = _outputs(context, uri)
    answers = (parse_answer(line) for key in outputs for line in read_lines(bucket.stream(key)))
    return sum(len(answer[1]) for answer in answers if answer)


def rows_of_full(context: StageContext, before: datetime | None = None) -> int | None:
    """Return the number of interactions in the newest FULL snapshot; None before the first.

    :param before: ignore runs that were created later.
    """
    stamp = f"{(before or datetime.now(UTC)).astimezone(UTC):%Y%m%dT%H%M%S}"
    keys = context.data.keys
    suffix, prefix = "/manifest.json", keys.all_full
    runs = [key.removeprefix(prefix) for key in context.bucket.keys(prefix) if key.endswith(suffix)]
    runs = [run for run in runs if run[: len(stamp)] <= stamp]
    if not runs:
        return None
    objects = context.bucket.get_json(keys.full_manifest(runs[-1].removesuffix(suffix)))["objects"]
    return int(objects[_EVENTS]["rows"]) if _EVENTS in objects else None


def counts_interactions(recipe: str) -> bool:
    """Return whether trainings of a recipe are billed by interactions instead of hours.

    https://aws.amazon.com/personalize/pricing/
    """
    return recipe.endswith("-v2")


def _is_answer(line: bytes) -> bool:
    # The service's own spelling; parsing a million long lines takes half a minute.
    if line.endswith(b'"error":null}'):
        return True
    try:
        return not json.loads(line).get("error")
    except ValueError:
        # A line that was truncated on the way to S3 was answered, and billed.
        return True


def _located(context: StageContext, uri: str) -> tuple[Bucket, str]:
    name, _, key = uri.removeprefix("s3://").partition("/")
    return Bucket(context.bucket.client, name), key


def _outputs(context: StageContext, uri: str) -> tuple[Bucket, list[str]]:
    bucket, prefix = _located(context, uri)
    return bucket, [key for key in bucket.keys(prefix) if key.endswith(".out")]


def record_usage(context: StageContext, *arns: str | None) -> int:
    """Record import jobs, solution versions, batch jobs and campaigns; recorded entries stay as they are.

    :param arns: None is skipped.
    :returns: how many could be recorded.
    """
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    return sum(_recorded(context, hook, arn) for arn in arns if arn)


def other_ledgers(context: StageContext, month: str) -> Iterator[Month]:
    """Read one month of the other programs over the data: a shared training is recorded by the first that paid."""
    for name in settings.names_over_data(context.program):
        if name != context.program.name:
            yield CostLedger(context.bucket, Keys(name)).read(month)


def record_imports(context: StageContext, jobs: Iterable[Mapping[str, str]]) -> None:
    """Record the import jobs of a run, with all their tries.

    :param jobs: ``name`` of the first try, and ``dataset_arn``.
    """
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    for job in jobs:
        try:
            tries = hook.listed(DATASET_IMPORT_JOB, datasetArn=job["dataset_arn"])
        except Exception as error:  # ruff: ignore[blind-except] - as the module says
            log.warning("Import job %s is not recorded yet: %s", job["name"], error)
            continue
        done = (t for t in tries if billed(t) and first_name(t["jobName"]) == first_name(job["name"]))
        record_usage(context, *(str(each["datasetImportJobArn"]) for each in done))


def record_stream(context: StageContext, name: str, owner: str, *, rows: int, size_bytes: int) -> None:
    """Record the bodies of the calls that streamed one object, which are billed like imported objects.

    :param name: ``<run>/<dataset>/<interval>``.
    :param owner: ARN of the dataset; of interactions, the tracking id.
    """
    at = datetime.now(UTC).isoformat()
    entry = UsageEntry(UsageKind.INGESTED_BYTES, size_bytes, at, name=name, of=owner, mode=STREAM, rows=rows)
    try:
        _add(context, f"{STREAM.lower()}/{name}", entry)
    except Exception as error:  # ruff: ignore[blind-except] - as the module says
        log.warning("The streamed rows of %s are not recorded: %s", name, error)


def record_delivery(context: StageContext, delivery: str, data_points: int, *, note: str = "") -> None:
    """Record the data points of what Braze accepted; a write repeated after an unclear answer counts once."""
    # The name begins with the time of the plan.
    planned = datetime.strptime(delivery[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).isoformat()
    entry = UsageEntry(UsageKind.DATA_POINTS, data_points, planned, name=delivery, note=note)
    try:
        _add(context, delivery, entry)
    except Exception as error:  # ruff: ignore[blind-except] - as the module says
        log.warning("Delivery %s is not recorded yet: %s", delivery, error)


def record_campaign(context: StageContext, arn: str, run: str) -> None:
    """Record a campaign up to now, and drop the run's estimate of it: it has no name that replaces it.

    :param run: key of the recommend run.
    """
    record_usage(context, arn)
    what = Charge(UsageKind.CAMPAIGN_TPS_HOURS, 0, campaign_use(arn.rsplit("/", 1)[-1]))
    try:
        context.store(CostLedger).change(
            month_of(datetime.now(UTC)), lambda month: month.without_estimate(run, [what])
        )
    except Exception as error:  # ruff: ignore[blind-except] - as the module says
        log.warning("The estimate of run %s for its campaign still counts: %s", run, error)


def campaign_use(name: str) -> str:
    """Return what a campaign's charge is for."""
    return f"campaign {name}"


def billed(summary: Mapping[str, Any]) -> bool:
    """Return from a summary or description whether the resource is billed.

    A stopped training is billed for what it did: StopSolutionVersionCreation's page in the API reference.
    """
    return state_of(summary) is State.READY or was_stopped(summary)


def _recorded(context: StageContext, hook: PersonalizeHook, arn: str) -> bool:
    try:
        resource, parent, measure = _MEASURES[Arn.parse(arn).tail.split("/")[0]]
        found = hook.describe_if_any(resource, arn)
        if found is None or not billed(found):
            return False
        at = str(found["creationDateTime"].astimezone(UTC).isoformat())
        name = str(found.get("jobName") or found.get("name") or "")
        if any(arn in other.entries for other in other_ledgers(context, month_of(found["creationDateTime"]))):
            return True
        entry = UsageEntry(at=at, name=name, of=str(found[parent]), **measure(context, found))
        # The campaigns of all recommend runs have one name, so one ARN.
        _add(context, f"{arn}@{at}" if resource is CAMPAIGN else arn, entry)
    except Exception as error:  # ruff: ignore[blind-except] - as the module says
        log.warning("%s is not recorded yet: %s", arn, error)
        return False
    return True


def _add(context: StageContext, key: str, entry: UsageEntry) -> None:
    month = entry.at[:7]
    former = context.store(CostLedger).read(month)
    context.store(CostLedger).change(month, lambda now: now.with_usage(key, entry))
    if key not in former.entries:
        log.info("Recorded %s %s: %s", entry.kind.value, f"{entry.quantity:g}", key)


def _import(context: StageContext, job: Mapping[str, Any]) -> dict[str, Any]:
    size = imported_bytes(context, job["dataSource"]["dataLocation"])
    note = "" if size else "the objects are gone"
    mode = job.get("importMode") or "FULL"
    return {"kind": UsageKind.INGESTED_BYTES, "quantity": size, "mode": mode, "note": note}


def _training(context: StageContext, version: Mapping[str, Any]) -> dict[str, Any]:
    recipe = str(version.get("recipeArn", "")).rsplit("/", 1)[-1]
    mode = str(version.get("trainingMode") or "FULL")
    hours = float(version.get("trainingHours") or 0.0)
    rows = rows_of_full(context, version["creationDateTime"])
    kind, quantity, note = UsageKind.TRAINING_HOURS, hours, ""
    if counts_interactions(recipe):
        kind, quantity = UsageKind.TRAINED_INTERACTIONS, float(rows or 0)
        note = f"{hours:g} hours" if rows else "the manifest of its data is gone"
    mode = HPO if version.get("performHPO") and mode == "FULL" else mode
    return {"kind": kind, "quantity": quantity, "recipe": recipe, "mode": mode, "rows": rows, "note": note}


def _inference(context: StageContext, job: Mapping[str, Any]) -> dict[str, Any]:
    answered, note = answered_lines(context, job["jobOutput"]["s3DataDestination"]["path"]), ""
    if answered is None:
        note, answered = "the output is gone", count_lines(context, job["jobInput"]["s3DataSource"]["path"])
    return {"kind": UsageKind.BATCH_RECOMMENDATIONS, "quantity": answered, "note": note}


def _segment(context: StageContext, job: Mapping[str, Any]) -> dict[str, Any]:
    found = segment_users(context, job["jobOutput"]["s3DataDestination"]["path"])
    note = "" if found else "no user was found, or the output is gone"
    return {"kind": UsageKind.BATCH_SEGMENT_USERS, "quantity": found, "note": note}


def _campaign(_: StageContext, campaign: Mapping[str, Any]) -> dict[str, Any]:
    # From when it became ACTIVE to now, so that the entry grows when it is recorded again.
    age = datetime.now(UTC) - campaign["lastUpdatedDateTime"]
    hours = age.total_seconds() / _SECONDS_PER_HOUR * float(campaign.get("minProvisionedTPS") or 1)
    return {"kind": UsageKind.CAMPAIGN_TPS_HOURS, "quantity": hours}


_Measure = Callable[[StageContext, Mapping[str, Any]], dict[str, Any]]
# First word of the ARN's tail -> resource, member that names its parent, and the entry's other fields.
_MEASURES: Mapping[str, tuple[Resource, str, _Measure]] = {
    "dataset-import-job": (DATASET_IMPORT_JOB, "datasetArn", _import),
    "solution": (SOLUTION_VERSION, "solutionArn", _training),
    "batch-inference-job": (BATCH_INFERENCE_JOB, "solutionVersionArn", _inference),
    "batch-segment-job": (BATCH_SEGMENT_JOB, "solutionVersionArn", _segment),
    "campaign": (CAMPAIGN, "solutionVersionArn", _campaign),
}
