"""Let one run at a time import, train or delete in a dataset group, whatever dies.

The lease is one object on S3. It is worth something only while Airflow says that its holder's run goes on, so nothing
has to give it back, and none outlives its holder: neither a killed worker nor a lost machine leaves it behind.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.resource import Resource
from airflow_personalize.resources import DATA_DELETION_JOB, DATASET_GROUP, SOLUTION, SOLUTION_VERSION
from airflow_personalize.status import State, state_of, status_of
from recsync.context import StageContext
from recsync.errors import RetriableError
from recsync.imports.pending_imports import settle
from recsync.program import names
from recsync.training.lock_store import Holder, LeaseStore

log = logging.getLogger(__name__)

# Says whether Airflow is still at work on a run.
IsRunning = Callable[[Holder], bool]


def take(context: StageContext, run: Holder, is_running: IsRunning) -> Holder | None:
    """Take the lease for a run, again if it has it.

    :returns: None when the run has it now, otherwise who has it.
    """
    store = context.store(LeaseStore)
    while True:
        holder, etag = store.read()
        if holder and holder.same_run(run):
            return None
        if holder and is_running(holder):
            return holder
        if holder:
            log.info("The lease of %s is over: it was that of %s", context.program.name, holder)
        if store.replace(Holder(run.dag_id, run.run_id, datetime.now(UTC).isoformat()), etag):
            return None


def waits_for(context: StageContext, run: Holder, is_running: IsRunning, first: str | None) -> str | None:
    """Take the lease for a run that may begin, and say what it waits for until then.

    :param first: a run that this one lets go first, if there is one.
    :returns: None when the run has the lease and nothing of a former run is under way.
    """
    holder, _ = context.store(LeaseStore).read()
    # A run that has the lease already, and waits for jobs of a former one, is what the other waits for.
    if first and not (holder and holder.same_run(run)):
        return f"{first}, which goes first"
    if holder := take(context, run, is_running):
        return str(holder)
    if jobs := under_way(context):
        return f"what a former run began: {', '.join(jobs)}"
    return None


def must_hold(context: StageContext, run: Holder, is_running: IsRunning) -> None:
    """Make sure, right before a billed step, that a run has the lease: a cleared task may come at any time.

    :raises RetriableError: when another run has it.
    """
    if holder := take(context, run, is_running):
        raise RetriableError(
            f"{context.program.name}: {holder}, imports, trains or deletes in the dataset group. Nothing is begun "
            "beside it; the task is tried again."
        )


def under_way(context: StageContext) -> list[str]:
    """Name what former runs left under way in the dataset group; nothing is begun before it has ended.

    A cleared run finds its own jobs among them, and adopts what became of them.
    """
    found = [f"import job {name}" for name in settle(context)]
    hook = PersonalizeHook(aws_conn_id=context.program.aws)
    name = names.dataset_group_name(context.program)
    groups = [g["datasetGroupArn"] for g in hook.listed(DATASET_GROUP) if g["name"] == name]
    for group in groups:
        for solution in hook.listed(SOLUTION, datasetGroupArn=group):
            versions = hook.listed(SOLUTION_VERSION, solutionArn=solution["solutionArn"])
            found += [_told(SOLUTION_VERSION, version) for version in versions if _goes_on(version)]
        jobs = hook.listed(DATA_DELETION_JOB, datasetGroupArn=group)
        found += [_told(DATA_DELETION_JOB, job) for job in jobs if _goes_on(job)]
    return found


def _goes_on(summary: Mapping[str, Any]) -> bool:
    return state_of(summary) is State.PENDING


def _told(resource: Resource, summary: Mapping[str, Any]) -> str:
    return f"{resource.noun} {summary[resource.arn_member]} ({status_of(summary)})"
