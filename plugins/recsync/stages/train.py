"""Train: full snapshots or pending intervals go in, a judged solution version comes out."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from recsync import settings
from recsync.core import names
from recsync.core.gate import judge
from recsync.core.intervals import Interval, floor_tick
from recsync.core.program import DatasetType
from recsync.errors import FatalError
from recsync.stages.context import StageContext
from recsync.stages.export.publish import manifest_of
from recsync.stores.champion import Champion
from recsync.stores.exports import Manifest

log = logging.getLogger(__name__)


class NothingToTrain(Exception):  # ruff: ignore[error-suffix-on-exception-name] - an outcome, not an error: the run is skipped with this reason
    """There is nothing worth a billed run; the text says why."""


def plan_full(program_name: str, run_id: str, created_at: datetime, until: datetime | None) -> dict[str, Any]:
    """Fix what a FULL run does, so that each retry does the same.

    :param until: end of the data, cut to a boundary of export intervals; None means the last one before the run.
    :returns: run key, end of the data, S3 keys and URIs per dataset.
    """
    context = StageContext.of(program_name)
    run = names.run_key(run_id, created_at.isoformat())
    keys = {t.value: context.keys.full(run, t) for t in context.program.dataset_types}
    return {
        "run": run,
        "mode": "FULL",
        "until": floor_tick(until or created_at, context.program.schedules.export).isoformat(),
        "keys": keys,
        "locations": {kind: context.bucket.uri(key) for kind, key in keys.items()},
    }


def import_jobs(
    program_name: str, plan: dict[str, Any], dataset_arns: dict[str, str]
) -> list[dict[str, str]]:
    """Say which import jobs a plan pays for: one per dataset that has rows.

    :returns: arguments of the import operator, one entry per job.
    """
    context = StageContext.of(program_name)
    digests = _digests(context, plan)
    stage = plan["mode"].lower()
    return [
        {
            "job_name": names.job_name(program_name, f"{stage}-{kind.folder}", plan["run"] + digests[kind]),
            "dataset_arn": dataset_arns[kind.value],
            "data_location": plan["locations"][kind.value],
            "role_arn": settings.role_arn_of(context.program),
            "import_mode": "FULL" if plan["mode"] == "FULL" else "INCREMENTAL",
        }
        for kind in context.program.dataset_types
        if plan["locations"][kind.value]
    ]


def version_names(program_name: str, plan: dict[str, Any]) -> dict[str, str]:
    """Name the solution versions a plan pays for: ``solution_version`` and ``baseline_version``."""
    everything = plan["run"] + "".join(_digests(StageContext.of(program_name), plan).values())
    stage = plan["mode"].lower()
    return {
        "solution_version": names.job_name(program_name, stage, everything),
        "baseline_version": names.job_name(program_name, f"{stage}-baseline", everything),
    }


def _digests(context: StageContext, plan: dict[str, Any]) -> dict[DatasetType, str]:
    """Sum up what a plan's run exported, to stand in its jobs' names.

    A retry adopts the jobs of the first try; a run that is cleared after its data were mended pays for new ones.
    """
    manifests = [context.exports.full(plan["run"])] if plan["mode"] == "FULL" else _intervals(plan)
    return {
        kind: "".join(m.objects[kind].digest for m in manifests) for kind in context.program.dataset_types
    }


def _intervals(plan: dict[str, Any]) -> list[Manifest]:
    return [Manifest.from_json(document) for document in plan["intervals"]]


def publish_full(
    program_name: str, plan: dict[str, Any], exported: dict[str, dict[str, Any]]
) -> dict[str, int]:
    """Publish a full snapshot, once every dataset passed its checks.

    :returns: rows per dataset.
    """
    interval = Interval.until(datetime.fromisoformat(plan["until"]))
    StageContext.of(program_name).exports.publish_full(plan["run"], manifest_of(interval, exported))
    return {kind.lower(): document["rows"] for kind, document in exported.items()}


def plan_update(program_name: str, run_id: str, created_at: datetime) -> dict[str, Any]:
    """Gather the pending intervals into folders that INCREMENTAL imports read.

    :returns: the intervals taken, per dataset the folder to import (empty when it has no rows).
    :raises NothingToTrain: with the reason.
    """
    context = StageContext.of(program_name)
    _check_can_update(context)
    state = context.imports.read()
    if state is None:
        raise NothingToTrain("There was no FULL import yet; the first train_full takes everything before it.")
    pending = state.pending(context.exports.intervals_since(state.full_until))
    rows = {
        kind: _rows(kind, [m for m in pending if state.is_new(m, kind)])
        for kind in context.program.dataset_types
    }
    _check_worth(context, rows)
    run = names.run_key(run_id, created_at.isoformat())
    locations = {}
    for kind in context.program.dataset_types:
        new = [manifest for manifest in pending if state.is_new(manifest, kind)]
        locations[kind.value] = _gather(context, run, kind, new) if new else ""
    return {
        "run": run,
        "mode": "UPDATE",
        "intervals": [manifest.to_json() for manifest in pending],
        "locations": locations,
        "rows": {kind.folder: count for kind, count in rows.items()},
    }


def _check_can_update(context: StageContext) -> None:
    if not context.program.personalize.can_update:
        raise NothingToTrain(
            f"Recipe {context.program.personalize.recipe} knows no trainingMode=UPDATE; only "
            "aws-user-personalization does. The next train_full takes the new rows."
        )
    if context.champions.read() is None:
        raise NothingToTrain("There is no champion yet; an UPDATE needs an ACTIVE FULL version.")


def _rows(kind: DatasetType, manifests: list[Manifest]) -> int:
    return sum(manifest.objects[kind].rows for manifest in manifests)


def _check_worth(context: StageContext, rows: dict[DatasetType, int]) -> None:
    minimum = context.program.train_update.min_new_interactions
    new = rows[DatasetType.INTERACTIONS]
    if new < minimum:
        raise NothingToTrain(
            f"{new} new interactions are pending; train_update.min_new_interactions is {minimum}. They wait."
        )


def _gather(context: StageContext, run: str, kind: DatasetType, manifests: list[Manifest]) -> str:
    folder = context.keys.import_folder(run, kind)
    for manifest in manifests:
        context.bucket.copy(manifest.objects[kind].key, f"{folder}{manifest.interval.key}.csv")
    return context.bucket.uri(folder)


def record_imports(program_name: str, plan: dict[str, Any]) -> None:
    """Note that a plan's import jobs are ACTIVE."""
    imports = StageContext.of(program_name).imports
    if plan["mode"] == "FULL":
        imports.record_full(datetime.fromisoformat(plan["until"]))
    else:
        imports.record_intervals(_intervals(plan))


def promote(
    program_name: str,
    run_id: str,
    solution_version_arn: str,
    training_mode: str,
    metrics: dict[str, float],
    baseline_metrics: dict[str, float] | None,
) -> dict[str, Any]:
    """Let the gate judge a version and make it the champion.

    :returns: the champion, for the asset event.
    :raises FatalError: when the gate refuses it, with the figures; the former champion stays.
    """
    context = StageContext.of(program_name)
    refusals = judge(context.program.gate, metrics, baseline_metrics)
    if refusals:
        raise FatalError(
            f"{solution_version_arn} does not become champion: {'; '.join(refusals)}. The former champion stays. "
            "Look at the data, or change gate in the program file."
        )
    champion = Champion(
        solution_version_arn=solution_version_arn,
        training_mode=training_mode,
        promoted_at=datetime.now(UTC).isoformat(),
        run_id=run_id,
        metrics=metrics,
        baseline_metrics=baseline_metrics,
    )
    context.champions.promote(champion)
    log.info("Champion of %s is now %s", program_name, solution_version_arn)
    return asdict(champion)


def last_baseline_metrics(program_name: str) -> dict[str, float] | None:
    """Give the baseline's metrics of the last FULL; an UPDATE trains no baseline of its own."""
    champion = StageContext.of(program_name).champions.read()
    return champion.baseline_metrics if champion else None
