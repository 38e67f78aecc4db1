"""### Update training

Takes every published row that is not imported yet, late ones too, imports them together (`importMode=INCREMENTAL`)
once they are enough or have waited long enough (`train_update` in the program file), and trains a version with
`trainingMode=UPDATE`, which brings new items into the candidate set. Skips, and says why, when there is nothing worth a
billed run.

Only for recipes that train with ``trainingMode=UPDATE``; the others take new rows with the next `train_full`.

One run per announced interval: runs neither collapse nor double, and the first one takes all that is pending.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import PartitionedAssetTimetable, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_errors import fatal_errors_fail_the_task
from recsync.stage_dags import asset, programs, stage_dag
from recsync.task_groups import setup, train


@task(multiple_outputs=False)
def plan(program: str) -> dict[str, Any]:
    """Gather the pending intervals, or skip with the reason."""
    from recsync.stages.imports.update import NothingToTrain, plan_update

    context = get_current_context()
    if context["ti"].get_dr_count(dag_id=f"{program}_train_full", states=["running"]):
        raise AirflowSkipException("train_full runs; the intervals wait for the run after it.")
    run = context["dag_run"]
    try:
        with fatal_errors_fail_the_task():
            return plan_update(program, run.run_id, run.run_after)
    except NothingToTrain as reason:
        raise AirflowSkipException(str(reason)) from None


for program in programs("train_update"):
    if not program.personalize.can_update:
        continue
    schedule = PartitionedAssetTimetable(assets=asset(program, "exports"))
    with stage_dag(program, "train_update", schedule=schedule, doc_md=__doc__):
        planned = plan(program.name)
        train(program, planned, setup(program, after=planned), "UPDATE", after=planned)
