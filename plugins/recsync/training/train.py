"""Name, price and record the billed steps of a training: its import jobs and its solution versions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from airflow_personalize.resource import State
from recsync import settings
from recsync.context import StageContext
from recsync.costs import budget, estimate, usage
from recsync.costs.prices import Charge
from recsync.export.manifest import ExportedObject
from recsync.export.store import ExportStore
from recsync.imports import store
from recsync.imports.dataset_state import Late
from recsync.imports.full import late_window
from recsync.imports.plans import FullContent, FullPlan, ImportJob, PendingImports, Plan, read_plan
from recsync.imports.store import ImportStore
from recsync.program import DatasetType, names
from recsync.program.intervals import parse_key
from recsync.training.tuning import current_solutions

log = logging.getLogger(__name__)
_EVENTS = DatasetType.INTERACTIONS


def import_jobs(
    program_name: str, plan: dict[str, Any], dataset_arns: dict[str, str]
) -> list[dict[str, Any]]:
    """Register the import jobs that a plan pays for: one per dataset that gets new rows.

    :param plan: JSON of a plan, as for the functions below.
    :returns: arguments of the import operator, one entry per job.
    """
    context, planned = StageContext.of(program_name), read_plan(plan)
    store.reconcile_others(context, planned)
    snapshots = _snapshots(context, planned)
    if isinstance(planned, FullPlan):
        locations = {kind: context.bucket.uri(exported.key) for kind, exported in snapshots.items()}
        missing = [
            kind for kind in snapshots if not _is_unchanged(context, kind, snapshots[kind], dataset_arns)
        ]
    else:
        locations = {kind: location for kind, location in planned.locations.items() if location}
        missing = [] if store.is_imported(context, planned) else list(locations)
    jobs = {
        kind: ImportJob(_job_name(context, planned, kind, snapshots), dataset_arns[kind.value])
        for kind in missing
    }
    reports = bool(context.program.attribution.metrics)
    arguments = [
        {
            "job_name": job.name,
            "dataset_arn": job.dataset_arn,
            "data_location": locations[kind],
            "role_arn": settings.role_arn_of(context.program),
            "import_mode": "FULL" if isinstance(planned, FullPlan) else "INCREMENTAL",
            **({"publish_attribution_metrics": True} if kind is _EVENTS and reports else {}),
        }
        for kind, job in jobs.items()
    ]
    trainings = _expected_trainings(context, planned, _version_names(context, planned))
    budget.check_budget(context, planned.run, [*estimate.imports(context, arguments), *trainings])
    full = {kind: FullContent(each.digest, each.key, each.etag) for kind, each in snapshots.items()}
    pending = PendingImports(planned, jobs, full, _late_objects(context, planned, snapshots))
    store.register(context, pending)
    return arguments


def version_names(program_name: str, plan: dict[str, Any]) -> dict[str, str]:
    """Name the solution versions a plan pays for, by the prefix of their tasks: ``solution_version``,
    ``baseline_solution_version``…

    A run that is cleared after its data or a solution's settings changed pays for new ones.
    """
    context, planned = StageContext.of(program_name), read_plan(plan)
    versions = _version_names(context, planned)
    budget.check_budget(context, planned.run, _expected_trainings(context, planned, versions))
    return versions


def record_imports(program_name: str, plan: dict[str, Any]) -> None:
    """Mark a plan's import jobs as done, and record their usage."""
    context = StageContext.of(program_name)
    pending = context.store(ImportStore).read().pending_imports
    store.mark_done(context, read_plan(plan))
    usage.record_imports(context, [asdict(job) for job in pending.jobs.values()] if pending else [])


def _version_names(context: StageContext, plan: Plan) -> dict[str, str]:
    program = context.program.name
    if not isinstance(plan, FullPlan):
        return {"solution_version": names.job_name(program, "update", plan.run + plan.solution_arn)}
    content = plan.run + "".join(exported.digest for exported in _snapshots(context, plan).values())
    return {
        f"{prefix}solution_version": names.job_name(
            program, f"full-{prefix}".rstrip("-_"), content + spec.name
        )
        for prefix, spec in current_solutions(context).items()
    }


def _expected_trainings(context: StageContext, plan: Plan, versions: Mapping[str, str]) -> list[Charge]:
    if isinstance(plan, FullPlan):
        rows = context.store(ExportStore).full(plan.run).objects[_EVENTS].rows
        return expected_trainings(context, versions, rows)
    imported = usage.rows_of_full(context)
    rows_after = imported and imported + int(plan.rows.get(_EVENTS.folder, 0))
    return expected_trainings(context, versions, rows_after, update_of=plan.solution_arn)


def expected_trainings(
    context: StageContext, versions: Mapping[str, str], rows: int | None, *, update_of: str = ""
) -> list[Charge]:
    """Estimate the charges of the solution versions of a run.

    :param versions: their names, by the prefix of their tasks.
    :param rows: interactions that they are trained on; None when unknown.
    :param update_of: ARN of the solution that an UPDATE trains; empty for FULL.
    """
    if update_of:
        trained = {"solution_version": (update_of.rsplit("/", 1)[-1], context.program.personalize.recipe)}
    else:
        trained = {
            f"{prefix}solution_version": (spec.name, spec.recipe)
            for prefix, spec in current_solutions(context).items()
        }
    return estimate.trainings(context, trained, versions, mode="UPDATE" if update_of else "FULL", rows=rows)


def _snapshots(context: StageContext, plan: Plan) -> dict[DatasetType, ExportedObject]:
    """Read what a FULL plan's run exported; an UPDATE exports nothing."""
    if not isinstance(plan, FullPlan):
        return {}
    objects = context.store(ExportStore).full(plan.run).objects
    return {kind: objects[kind] for kind in context.program.dataset_types}


def _job_name(
    context: StageContext, plan: Plan, kind: DatasetType, snapshots: Mapping[DatasetType, ExportedObject]
) -> str:
    """Name a job by its run, its rows, and the dataset's version before it.

    A retry adopts the job of the first try. A run that is cleared after its data changed, or after other imports, pays
    for a new one.
    """
    if isinstance(plan, FullPlan):
        content = snapshots[kind].digest + context.store(ImportStore).read().version(kind)
    else:
        content = plan.after[kind]
    return names.job_name(context.program.name, f"{plan.mode.lower()}-{kind.folder}", plan.run + content)


def _is_unchanged(
    context: StageContext, kind: DatasetType, exported: ExportedObject, dataset_arns: Mapping[str, str]
) -> bool:
    """Return whether a dataset has exactly the rows of a snapshot, and log why it is imported or not."""
    state = context.store(ImportStore).read()
    if not state.matches(kind, exported.digest):
        log.info("%s: imported, the dataset has other rows", kind.folder)
        return False
    job = state.full[kind].job
    if store.import_state(context, dataset_arns[kind.value], job) is not State.READY:
        log.info("%s: imported, Amazon Personalize does not know import job %s any more", kind.folder, job)
        return False
    log.info("%s: not imported again, unchanged since import job %s", kind.folder, job)
    return True


def _late_objects(
    context: StageContext, plan: Plan, snapshots: Mapping[DatasetType, ExportedObject]
) -> dict[str, tuple[str, ...]]:
    """Return the late objects of an imported folder by interval: exports may still change these intervals."""
    events = snapshots.get(_EVENTS)
    if not isinstance(plan, FullPlan) or events is None or not events.is_folder:
        return {}
    late = late_window(context)
    opens = Late(late.cron, late.intervals + 1).opens(plan.until)
    keys = {key.rsplit("/", 1)[-1].removesuffix(".csv"): key for key in context.bucket.keys(events.key)}
    return {interval: (key,) for interval, key in keys.items() if parse_key(interval) >= opens}
