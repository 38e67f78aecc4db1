"""### Tuning

Searches for hyperparameters (`performHPO`) on what the datasets hold: a solution version that tries up to
`personalize.tuning.max_training_jobs` sets of them, **each billed like a training**. Its winners (`tunedHPOParams`) are
pinned into the next `train_full` runs, until the next search, unless their figure is worse than the champion's. No
champion comes of the search itself.

Only for programs with `personalize.tuning`. Run by hand with *reset*, it searches nothing and forgets what is pinned.

Waits, without a worker slot, until no other run imports, trains or deletes in the dataset group.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_tasks import task
from recsync.dag_kit import cron_trigger, programs, stage_dag
from recsync.task_groups import hold, setup, tune

PARAMS = {
    "reset": Param(
        False,
        type="boolean",
        description="Search nothing; forget what former searches pinned, so that the program file alone counts.",
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


for program in programs("tune"):
    if program.personalize.tuning is None:
        continue
    schedule = cron_trigger(program.schedules.tune)
    with stage_dag(program, "tune", schedule=schedule, doc_md=__doc__, params=PARAMS):
        planned = plan(program.name)
        hold(program) >> planned
        tune(program, planned, setup(program, after=planned, solutions=False))
