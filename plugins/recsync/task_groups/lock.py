"""Let one run at a time import, train or delete in a dataset group."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow.sdk import TriggerRule, get_current_context

from recsync.airflow_tasks import task
from recsync.program import Program
from recsync.stages import STAGES
from recsync.task_groups.setup import Output

log = logging.getLogger(__name__)

_ACTIVE = ["queued", "running"]
WAIT_FOR_EVENTS = "wait"
"""The task in which a run waits until streamed events count."""
# Tasks that wait for a person or a time, and their state meanwhile. The run no longer needs the lock then.
_WAITS = {"approve": "awaiting_input", WAIT_FOR_EVENTS: "deferred"}
_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}
_DAY_SECONDS = 24 * 3600
_HOLD, _RELEASE = "hold", "release"


def acquire_lock(program: Program) -> Output:
    """Wait, without a worker slot, until this run alone may change the dataset group, which programs may share."""
    return wait_for_lock(program.name)


def assert_lock(program: str, context: Mapping[str, Any] | None = None) -> None:
    """Check in a task, right before a billed step, that its run has the lock.

    :param context: of the task; None takes the present one.
    :raises RetriableError: when another run has it.
    """
    from recsync.context import StageContext
    from recsync.training import store

    here = context or get_current_context()
    store.assert_lock(StageContext.of(program), _run_of(here), partial(_is_running, here["ti"]))


@dataclass(frozen=True)
class AssertLock:
    """Check, before a task creates or adopts a job, that its run has the lock: a person may clear that task alone.

    Given to operators as ``pre_execute``.

    :param program: name of the program.
    :param imports: whether the job is an import, which must be registered as well.
    """

    program: str
    imports: bool = False

    def __call__(self, context: Mapping[str, Any]) -> None:
        """Check it.

        :raises RetriableError: when another run has it.
        :raises FatalError: when the import is not registered any more.
        """
        from recsync.context import StageContext
        from recsync.imports.store import check_registered

        assert_lock(self.program, context)
        if self.imports:
            job = context["task"]
            check_registered(StageContext.of(self.program), job.dataset_arn, job.job_name)


@task.sensor(task_id=_HOLD, mode="reschedule", poke_interval=15, timeout=2 * _DAY_SECONDS)
def wait_for_lock(program: str) -> bool:
    """Take the lock once it is free and no job of an earlier run is running."""
    from recsync.context import StageContext
    from recsync.training import store

    context = get_current_context()
    ti = context["ti"]
    blocker = store.blocked_by(
        StageContext.of(program), _run_of(context), partial(_is_running, ti), _priority_run(program, ti)
    )
    if blocker:
        log.info("Waiting for %s.", blocker)
    return blocker is None


@task(task_id=_RELEASE, trigger_rule=TriggerRule.NONE_FAILED)
def release_lock(program: str) -> None:
    """Release the lock before the run's end: its remaining tasks do not need it."""
    from recsync.context import StageContext
    from recsync.training import store

    StageContext.of(program).store(store.LockStore).release(_run_of(get_current_context()))


def _priority_run(program: str, ti: Any) -> str | None:
    if ti.dag_id not in {f"{program}_{stage.name}" for stage in STAGES if stage.lock == "yields"}:
        return None
    over_data = names_over_data(program)
    others = [(f"{name}_{stage.name}", stage) for name in over_data for stage in STAGES]
    running = (
        dag_id
        for dag_id, stage in others
        if stage.lock == "exclusive"
        and _at_work(ti, dag_id, ["running"])
        and (not stage.locks_partly or _wants_lock(ti, dag_id))
    )
    return next((f"a run of {dag_id}" for dag_id in running), None)


def _wants_lock(ti: Any, dag_id: str) -> bool:
    """Return whether a run waits for the lock or has it; for stages that need it for a part of a run only."""
    tasks = ti.get_task_states(dag_id=dag_id, task_ids=[_HOLD, _RELEASE])
    return any(found.get(_HOLD) and found.get(_RELEASE) not in _ENDED for found in tasks.values())


def names_over_data(program: str) -> list[str]:
    """Name the programs that use the same data as one, its owner first, also broken ones."""
    from recsync import settings

    return settings.names_over_data(settings.program(program))


def _run_of(context: Mapping[str, Any]) -> Any:
    from recsync.training.store import Holder

    run = context["dag_run"]
    return Holder(run.dag_id, run.run_id)


def _is_running(ti: Any, holder: Any) -> bool:
    return _at_work(ti, holder.dag_id, _ACTIVE, [holder.run_id])


def _at_work(ti: Any, dag_id: str, states: list[str], run_ids: list[str] | None = None) -> bool:
    """Return whether a run in one of the states does more than wait for a person or a time."""
    runs = ti.get_dr_count(dag_id=dag_id, run_ids=run_ids, states=states)
    if not runs:
        return False
    found = ti.get_task_states(dag_id=dag_id, task_ids=list(_WAITS), run_ids=run_ids)
    waiting = sum(
        any(str(states.get(name)) == state for name, state in _WAITS.items()) for states in found.values()
    )
    return bool(runs > waiting)


def runs_at_work(program: str, stages: Sequence[str]) -> list[list[str]]:
    """Return the unfinished runs of these stages, each as ``[dag_id, run_id]``."""
    ti = get_current_context()["ti"]
    found: list[list[str]] = []
    for dag_id in (f"{program}_{stage}" for stage in stages):
        # Airflow returns the task states of all runs of a DAG, so look only when one is running.
        if ti.get_dr_count(dag_id=dag_id, states=["running"]):
            unfinished = (
                run_id
                for run_id, states in ti.get_task_states(dag_id=dag_id).items()
                if any(state not in _ENDED for state in states.values())
            )
            found += [[dag_id, run_id] for run_id in unfinished if any_at_work([[dag_id, run_id]])]
    return found


def any_at_work(runs: Sequence[Sequence[str]]) -> bool:
    """Return whether one of the runs, each as ``[dag_id, run_id]``, has not ended."""
    ti = get_current_context()["ti"]
    return any(ti.get_dr_count(dag_id=dag_id, run_ids=[run_id], states=_ACTIVE) for dag_id, run_id in runs)
