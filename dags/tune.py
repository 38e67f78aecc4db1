"""### Tuning

Searches for hyperparameters (`performHPO`) on the imported data: a solution version that tries up to
`personalize.tuning.max_training_jobs` sets of them, **each billed like a training**. Its winners (`tunedHPOParams`) are
pinned into the next `train_full` runs, until the next search, unless their figure is worse than the champion's. The
search itself never makes a champion.

Only for programs with `personalize.tuning`. With *reset*, a run by hand only deletes the pinned winners.

Waits, without a worker slot, until no other run imports, trains or deletes in the dataset group.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_tasks import task
from recsync.dag_kit import programs, schedule, stage_dag, start_once
from recsync.task_groups.lock import acquire_lock
from recsync.task_groups.setup import setup
from recsync.task_groups.training import tune

PARAMS = {
    "reset": Param(
        False,
        type="boolean",
        description="Do not search; unpin the winners of earlier searches, so that the program file alone counts.",
    )
}


@task(multiple_outputs=False)
def plan(program: str) -> dict[str, Any]:
    """Fix what the search does, or skip with the reason."""
    from recsync.training import tuning

    context = get_current_context()
    run = context["dag_run"]
    if context["params"]["reset"]:
        raise AirflowSkipException(tuning.reset(program, run.run_id))
    try:
        return tuning.plan_tuning(program, run.run_id, run.run_after)
    except tuning.NothingToTune as reason:
        raise AirflowSkipException(str(reason)) from None


for program in programs("tune", __file__):
    if program.personalize.tuning is None:
        continue
    due = schedule(program, "tune")
    with stage_dag(program, "tune", schedule=due, doc_md=__doc__, params=PARAMS) as dag:
        planned = plan(program.name)
        acquire_lock(program) >> planned
        tune(program, planned, setup(program, after=planned, solutions=False))
        start_once(dag, program, "tune")
