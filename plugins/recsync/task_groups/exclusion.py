"""Keep runs that import, train or delete in one dataset group apart."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow.sdk import get_current_context

from recsync.airflow_tasks import task
from recsync.program import Program
from recsync.task_groups.setup import Output

log = logging.getLogger(__name__)

# Stages that change a dataset group. An hourly update lets those that a person or the calendar wants go first, or a
# backlog of updates would keep them waiting for ever.
EXCLUSIVE_STAGES = ("train_full", "tune", "forget", "retire")
YIELDING_STAGE = "train_update"
_ACTIVE = ["queued", "running"]
# The task in which a run waits for a person, and its state meanwhile: the run's imports and trainings are done.
_APPROVAL, _AWAITING = "approve", "awaiting_input"
_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}
_DAY_SECONDS = 24 * 3600


def hold(program: Program) -> Output:
    """Wait, without a worker slot, until this run alone may change the program's dataset group."""
    return wait_for_lease(program.name)


def must_hold(program: str, context: Mapping[str, Any] | None = None) -> None:
    """Check in a task, right before a billed step, that its run has the lease.

    :param context: of the task; None takes the present one, which is there inside of a task only.
    :raises RetriableError: when another run has it.
    """
    from recsync.context import StageContext
    from recsync.training import lock

    here = context or get_current_context()
    lock.must_hold(StageContext.of(program), _run_of(here), partial(_is_running, here["ti"]))


@dataclass(frozen=True)
class HoldsLease:
    """Check, before a task creates or adopts a job, that its run has the lease: a person may clear that task alone.

    Given to operators as ``pre_execute``.

    :param program: name of the program.
    :param imports: whether the job is an import, which must be written down as well.
    """

    program: str
    imports: bool = False

    def __call__(self, context: Mapping[str, Any]) -> None:
        """Check it.

        :raises RetriableError: when another run has it.
        :raises FatalError: when the import is not written down any more.
        """
        from recsync.context import StageContext
        from recsync.imports.pending_imports import check_written_down

        must_hold(self.program, context)
        if self.imports:
            job = context["task"]
            check_written_down(StageContext.of(self.program), job.dataset_arn, job.job_name)


@task.sensor(task_id="hold", mode="reschedule", poke_interval=15, timeout=2 * _DAY_SECONDS)
def wait_for_lease(program: str) -> bool:
    """Take the lease once nobody has it and nothing of a former run is under way."""
    from recsync.context import StageContext
    from recsync.training import lock

    context = get_current_context()
    ti = context["ti"]
    waits_for = lock.waits_for(
        StageContext.of(program), _run_of(context), partial(_is_running, ti), _goes_first(program, ti)
    )
    if waits_for:
        log.info("Waiting for %s.", waits_for)
    return waits_for is None


def _goes_first(program: str, ti: Any) -> str | None:
    if ti.dag_id != f"{program}_{YIELDING_STAGE}":
        return None
    stages = (f"{program}_{stage}" for stage in EXCLUSIVE_STAGES)
    running = (dag_id for dag_id in stages if _at_work(ti, dag_id, ["running"]))
    return next((f"a run of {dag_id}" for dag_id in running), None)


def _run_of(context: Mapping[str, Any]) -> Any:
    from recsync.training.lock_store import Holder

    run = context["dag_run"]
    return Holder(run.dag_id, run.run_id)


def _is_running(ti: Any, holder: Any) -> bool:
    return _at_work(ti, holder.dag_id, _ACTIVE, [holder.run_id])


def _at_work(ti: Any, dag_id: str, states: list[str], run_ids: list[str] | None = None) -> bool:
    """Tell whether a run in one of the states does more than wait for a person."""
    runs = ti.get_dr_count(dag_id=dag_id, run_ids=run_ids, states=states)
    if not runs:
        return False
    approvals = ti.get_task_states(dag_id=dag_id, task_ids=[_APPROVAL], run_ids=run_ids)
    waiting = sum(str(found.get(_APPROVAL)) == _AWAITING for found in approvals.values())
    return bool(runs > waiting)


def runs_at_work(program: str, stages: Sequence[str]) -> list[list[str]]:
    """Name the runs of these stages that are under way now, each as ``[dag_id, run_id]``."""
    ti = get_current_context()["ti"]
    found: list[list[str]] = []
    for dag_id in (f"{program}_{stage}" for stage in stages):
        # Airflow gives the task states of all runs of a DAG or of none; most of the time nothing is running.
        if ti.get_dr_count(dag_id=dag_id, states=["running"]):
            unfinished = (
                run_id
                for run_id, states in ti.get_task_states(dag_id=dag_id).items()
                if any(state not in _ENDED for state in states.values())
            )
            found += [[dag_id, run_id] for run_id in unfinished if any_at_work([[dag_id, run_id]])]
    return found


def any_at_work(runs: Sequence[Sequence[str]]) -> bool:
    """Say whether one of the runs, given as ``[dag_id, run_id]``, has not ended."""
    ti = get_current_context()["ti"]
    return any(ti.get_dr_count(dag_id=dag_id, run_ids=[run_id], states=_ACTIVE) for dag_id, run_id in runs)
