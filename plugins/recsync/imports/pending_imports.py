"""Import jobs between being asked for and being noted: whatever dies in between, no row is imported twice.

Jobs are written down before they are asked for. The next plan looks up in Amazon Personalize what became of those that
nobody noted: one that is ACTIVE did its work, whether or not the run that wanted it came to its end.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from airflow_personalize.aws_errors import error_code
from airflow_personalize.hooks.personalize import MAX_SUFFIX, PersonalizeHook, suffixed
from airflow_personalize.resources import DATASET_IMPORT_JOB
from airflow_personalize.status import State, state_of
from recsync.context import StageContext
from recsync.errors import FatalError, RetriableError
from recsync.imports.dataset_state import Held, LastFull, Taken
from recsync.imports.store import ImportState
from recsync.program import DatasetType

log = logging.getLogger(__name__)


def settle_others(context: StageContext, plan: Mapping[str, Any]) -> None:
    """Find out what became of another run's jobs, before a plan's own are written down in their place.

    :raises RetriableError: while they are under way.
    """
    unfinished = context.store(ImportState).read().unfinished
    if unfinished and unfinished["plan"]["run"] != plan["run"] and (running := settle(context)):
        raise RetriableError(
            f"An import of another run is under way: {', '.join(running)}. It must end first."
        )


def is_imported(context: StageContext, plan: Mapping[str, Any]) -> bool:
    """Say whether the rows of an UPDATE plan are in already, for its tasks may be cleared long after.

    :raises FatalError: when other imports came after the plan: they may have brought, or replaced, some of its rows.
    """
    held = context.store(ImportState).read()
    if held.unfinished and held.unfinished["plan"]["run"] == plan["run"]:
        return False
    if _is_noted(held, plan):
        return True
    if any(held.standing(DatasetType(kind)) != after for kind, after in plan["after"].items()):
        raise FatalError(
            f"Other rows were imported since {plan['run']} was planned, and its own may be among them. Clear this run "
            "from its task plan on: it imports what is not imported yet."
        )
    return False


def check_written_down(context: StageContext, dataset_arn: str, name: str) -> None:
    """Make sure, right before an import job is created or adopted, that somebody will look for it.

    :raises FatalError: when another run looked for it before it was there.
    """
    unfinished = context.store(ImportState).read().unfinished
    written = {job["name"] for job in unfinished["jobs"].values()} if unfinished else set()
    if name not in written and import_state(context, dataset_arn, name) is None:
        raise FatalError(
            f"Another run looked for import job {name} before it was there, and its rows may be imported since. Clear "
            "this run from its task plan on: it imports what is not imported yet."
        )


def expect(context: StageContext, unfinished: Mapping[str, Any]) -> None:
    """Write down the jobs of a plan before they are paid for.

    :param unfinished: ``plan``, ``jobs`` (dataset -> name and dataset_arn), and for FULL imports ``full`` (dataset ->
        digest, snapshot, etag) and ``objects`` (interval -> objects in the imported folder).
    """
    context.store(ImportState).change(lambda held: replace(held, unfinished=unfinished))


def finish(context: StageContext, plan: Mapping[str, Any]) -> None:
    """Note that all jobs of a plan are ACTIVE; noting it again changes nothing.

    :raises FatalError: when another run settled the jobs before they were ACTIVE.
    """

    def noted(held: Held) -> Held:
        unfinished = held.unfinished
        if not unfinished or unfinished["plan"]["run"] != plan["run"]:
            if _is_noted(held, plan):
                return held
            raise FatalError(
                f"Another run looked into the import jobs of {plan['run']} before they were ACTIVE and counted them as "
                "failed. Clear this run from its task plan on: it finds its jobs again and pays for none of them twice."
            )
        kinds = unfinished["full"] or unfinished["jobs"]
        for kind in kinds:
            held = _noted(held, unfinished, DatasetType(kind))
        return replace(held, unfinished=None)

    context.store(ImportState).change(noted)


def settle(context: StageContext) -> list[str]:
    """Find out what became of jobs that a former run asked for and did not note.

    :returns: names of the jobs that are still under way; none when all is settled.
    """
    unfinished = context.store(ImportState).read().unfinished
    if not unfinished:
        return []
    states = {
        kind: import_state(context, job["dataset_arn"], job["name"])
        for kind, job in unfinished["jobs"].items()
    }
    for kind, state in states.items():
        log.info(
            "Import job %s of a former run: %s", unfinished["jobs"][kind]["name"], state or "not imported"
        )
    running = [unfinished["jobs"][kind]["name"] for kind, state in states.items() if state is State.PENDING]

    def settled(held: Held) -> Held:
        if held.unfinished != unfinished or running:
            return held
        for kind, state in states.items():
            if state is State.READY:
                held = _noted(held, unfinished, DatasetType(kind))
        return replace(held, unfinished=None)

    context.store(ImportState).change(settled)
    return running


def import_state(context: StageContext, dataset_arn: str, name: str) -> State | None:
    """Say how an import job stands.

    :param name: of the first try; those after a failure have a suffix.
    :returns: READY when one try did its work, else PENDING when one is under way, else None.
    """
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    tries = {suffixed(name, number) for number in range(1, MAX_SUFFIX + 1)}
    with hook.errors(f"list import jobs of {dataset_arn}", DATASET_IMPORT_JOB):
        # Its methods are made at run time, so nothing is known of their types.
        api: Any = hook.conn
        try:
            pages = api.get_paginator("list_dataset_import_jobs").paginate(datasetArn=dataset_arn)
            jobs = [job for page in pages for job in page["datasetImportJobs"] if job["jobName"] in tries]
        except ClientError as error:
            if "NotFound" not in error_code(error):
                raise
            return None  # the dataset is gone, and its rows with it
    states = {state_of(job) for job in jobs}
    return next((state for state in (State.READY, State.PENDING) if state in states), None)


def _is_noted(held: Held, plan: Mapping[str, Any]) -> bool:
    if plan["mode"] == "FULL":
        ends = {kind.value: last.until for kind, last in held.full.items()}
        return all(ends.get(kind) == datetime.fromisoformat(plan["until"]) for kind in plan["keys"])
    return all(
        held.intervals.get(taken["interval"], {}).get(kind) == taken["digest"]
        for kind, pieces in plan["taken"].items()
        for taken in pieces
    )


def _noted(held: Held, unfinished: Mapping[str, Any], kind: DatasetType) -> Held:
    plan = unfinished["plan"]
    if plan["mode"] == "UPDATE":
        return held.after_increment(kind, [Taken(**taken) for taken in plan["taken"][kind.value]])
    # A dataset that had this snapshot already keeps the job that imported it.
    job = unfinished["jobs"].get(kind.value)
    former = held.full.get(kind)
    last = LastFull(
        until=datetime.fromisoformat(plan["until"]),
        job=job["name"] if job else former.job if former else "",
        alone=True,
        **unfinished["full"][kind.value],
    )
    objects = {interval: tuple(keys) for interval, keys in unfinished["objects"].items()}
    return held.after_full(kind, last, known=plan["known"].get(kind.value, {}), objects=objects)
