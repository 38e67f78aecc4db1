"""Keep runs that import, train or delete in one dataset group apart."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import get_current_context, task

from recsync.airflow_errors import fatal_errors_fail_the_task
from recsync.core.program import Program
from recsync.task_groups.setup import Output

log = logging.getLogger(__name__)

# Stages that change a dataset group. An hourly update lets those that a person or the calendar wants go first, or a
# backlog of updates would keep them waiting for ever.
EXCLUSIVE_STAGES = ("train_full", "tune", "forget")
YIELDING_STAGE = "train_update"
_ACTIVE = ["queued", "running"]
_DAY_SECONDS = 24 * 3600


def hold(program: Program) -> Output:
    """Wait, without a worker slot, until this run alone may change the program's dataset group."""
    return wait_for_lease(program.name)


def must_hold(program: str) -> None:
    """Check in a task, right before a billed step, that its run has the lease.

    :raises RetriableError: when another run has it.
    """
    from recsync.stages import lease
    from recsync.stages.context import StageContext

    lease.must_hold(StageContext.of(program), _this_run(), _is_running)


@task.sensor(task_id="hold", mode="reschedule", poke_interval=15, timeout=2 * _DAY_SECONDS)
def wait_for_lease(program: str) -> bool:
    """Take the lease once nobody has it and nothing of a former run is under way."""
    from recsync.stages import lease
    from recsync.stages.context import StageContext

    context = get_current_context()
    ti = context["ti"]
    with fatal_errors_fail_the_task():
        if first := _goes_first(program, ti):
            log.info("%s waits for the dataset group; this update lets it go first.", first)
            return False
        stage_context, run = StageContext.of(program), _this_run()
        if holder := lease.take(stage_context, run, _is_running):
            log.info("Waiting for %s.", holder)
            return False
        if jobs := lease.under_way(stage_context, run):
            log.info("Waiting for what a former run began: %s.", ", ".join(jobs))
            return False
    return True


def _goes_first(program: str, ti: Any) -> str | None:
    if ti.dag_id != f"{program}_{YIELDING_STAGE}":
        return None
    stages = (f"{program}_{stage}" for stage in EXCLUSIVE_STAGES)
    return next((dag_id for dag_id in stages if ti.get_dr_count(dag_id=dag_id, states=["running"])), None)


def _this_run() -> Any:
    from recsync.stores.lease import Holder

    run = get_current_context()["dag_run"]
    return Holder(run.dag_id, run.run_id)


def _is_running(holder: Any) -> bool:
    ti = get_current_context()["ti"]
    return bool(ti.get_dr_count(dag_id=holder.dag_id, run_ids=[holder.run_id], states=_ACTIVE))
