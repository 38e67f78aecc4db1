"""Train: what was gathered goes in by import jobs, and solution versions are trained on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_personalize.status import State
from recsync import settings
from recsync.context import StageContext
from recsync.costs import budget, estimate, sizes, usage
from recsync.costs.charges import Charge
from recsync.export.manifest import ExportedObject
from recsync.export.store import Exports
from recsync.imports import pending_imports
from recsync.imports.dataset_state import Late
from recsync.imports.full import late_window
from recsync.imports.store import ImportState
from recsync.program import DatasetType, names
from recsync.program.intervals import parse_key
from recsync.training.pinned_solutions import wanted

log = logging.getLogger(__name__)


def import_jobs(
    program_name: str, plan: dict[str, Any], dataset_arns: dict[str, str]
) -> list[dict[str, str]]:
    """Say which import jobs a plan pays for: one per dataset that gets rows it does not hold.

    :returns: arguments of the import operator, one entry per job.
    """
    context = StageContext.of(program_name)
    pending_imports.settle_others(context, plan)
    full = _full(context, plan)
    if plan["mode"] == "FULL":
        missing = [kind for kind in full if not _holds(context, kind, full[kind], dataset_arns)]
        locations = {kind: context.bucket.uri(exported.key) for kind, exported in full.items()}
    else:
        locations = {DatasetType(kind): location for kind, location in plan["locations"].items() if location}
        missing = [] if pending_imports.is_imported(context, plan) else list(locations)
    jobs = {
        kind: {"name": _job_name(context, plan, kind, full), "dataset_arn": dataset_arns[kind.value]}
        for kind in missing
    }
    asked = [
        {
            "job_name": job["name"],
            "dataset_arn": job["dataset_arn"],
            "data_location": locations[kind],
            "role_arn": settings.role_arn_of(context.program),
            "import_mode": "FULL" if plan["mode"] == "FULL" else "INCREMENTAL",
        }
        for kind, job in jobs.items()
    ]
    trainings = _expected_trainings(context, plan, _version_names(context, plan))
    budget.authorise(context, plan["run"], [*estimate.imports(context, asked), *trainings])
    pending_imports.expect(
        context,
        {
            "plan": plan,
            "jobs": {kind.value: job for kind, job in jobs.items()},
            "full": {
                kind.value: {"digest": exported.digest, "snapshot": exported.key, "etag": exported.etag}
                for kind, exported in full.items()
            },
            "objects": _late_objects(context, plan, full),
        },
    )
    return asked


def version_names(program_name: str, plan: dict[str, Any]) -> dict[str, str]:
    """Name the solution versions a plan pays for, by the prefix of their tasks: ``solution_version``,
    ``baseline_solution_version``…

    A run that is cleared after its data or a solution's settings changed pays for new ones.
    """
    context = StageContext.of(program_name)
    versions = _version_names(context, plan)
    budget.authorise(context, plan["run"], _expected_trainings(context, plan, versions))
    return versions


def _version_names(context: StageContext, plan: dict[str, Any]) -> dict[str, str]:
    program_name = context.program.name
    full = _full(context, plan)
    if plan["mode"] != "FULL":
        return {
            "solution_version": names.job_name(program_name, "update", plan["run"] + plan["solution_arn"])
        }
    everything = plan["run"] + "".join(exported.digest for exported in full.values())
    return {
        f"{prefix}solution_version": names.job_name(
            program_name, f"full-{prefix}".rstrip("-_"), everything + spec.name
        )
        for prefix, spec in wanted(context).items()
    }


def _expected_trainings(
    context: StageContext, plan: dict[str, Any], versions: Mapping[str, str]
) -> list[Charge]:
    rows = _training_rows(context, plan)
    return estimate.trainings(context, _trained(context, plan), versions, mode=plan["mode"], rows=rows)


def _trained(context: StageContext, plan: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what a plan trains: key of the version's name -> name of the solution, and its recipe."""
    if plan["mode"] != "FULL":
        solution = str(plan["solution_arn"]).rsplit("/", 1)[-1]
        return {"solution_version": (solution, context.program.personalize.recipe)}
    specs = wanted(context)
    return {f"{prefix}solution_version": (spec.name, spec.recipe) for prefix, spec in specs.items()}


def _training_rows(context: StageContext, plan: dict[str, Any]) -> int | None:
    """Count the interactions that a plan trains on; None when no snapshot is known."""
    if plan["mode"] == "FULL":
        return context.store(Exports).full(plan["run"]).objects[DatasetType.INTERACTIONS].rows
    held = sizes.rows_of_full(context)
    return held and held + int(plan["rows"].get(DatasetType.INTERACTIONS.folder, 0))


def record_imports(program_name: str, plan: dict[str, Any]) -> None:
    """Note that a plan's import jobs are ACTIVE, and book them."""
    context = StageContext.of(program_name)
    asked = context.store(ImportState).read().unfinished or {}
    pending_imports.finish(context, plan)
    usage.book_imports(context, asked.get("jobs", {}).values())


def _full(context: StageContext, plan: dict[str, Any]) -> dict[DatasetType, ExportedObject]:
    """Read what a FULL plan's run exported; an UPDATE exports nothing."""
    if plan["mode"] != "FULL":
        return {}
    objects = context.store(Exports).full(plan["run"]).objects
    return {kind: objects[kind] for kind in context.program.dataset_types}


def _job_name(
    context: StageContext, plan: dict[str, Any], kind: DatasetType, full: dict[DatasetType, ExportedObject]
) -> str:
    """Name a job by its run, its rows, and what the dataset was given before.

    A retry adopts the job of the first try; a run that is cleared after its data were mended, or after other rows were
    imported, pays for a new one.
    """
    after = context.store(ImportState).read().standing(kind) if full else plan["after"][kind.value]
    content = plan["run"] + (full[kind].digest if full else "") + after
    return names.job_name(context.program.name, f"{plan['mode'].lower()}-{kind.folder}", content)


def _holds(
    context: StageContext, kind: DatasetType, exported: ExportedObject, dataset_arns: dict[str, str]
) -> bool:
    """Say whether a dataset holds exactly this snapshot, and log why it is imported or not."""
    held = context.store(ImportState).read()
    if not held.holds_exactly(kind, exported.digest):
        log.info("%s: imported, the dataset holds something else", kind.folder)
        return False
    job = held.full[kind].job
    if pending_imports.import_state(context, dataset_arns[kind.value], job) is not State.READY:
        log.info("%s: imported, Amazon Personalize does not know import job %s any more", kind.folder, job)
        return False
    log.info("%s: not imported again, unchanged since import job %s", kind.folder, job)
    return True


def _late_objects(
    context: StageContext, plan: dict[str, Any], full: dict[DatasetType, ExportedObject]
) -> dict[str, list[str]]:
    """Give the objects in the imported folder, if there is one, of intervals that exports may still change."""
    events = full.get(DatasetType.INTERACTIONS)
    if events is None or not events.is_folder:
        return {}
    late = late_window(context)
    opens = Late(late.cron, late.intervals + 1).opens(datetime.fromisoformat(plan["until"]))
    keys = {key.rsplit("/", 1)[-1].removesuffix(".csv"): key for key in context.bucket.keys(events.key)}
    return {interval: [key] for interval, key in keys.items() if parse_key(interval) >= opens}
