"""### Update training

Takes every published row that is not imported yet, late ones too, imports them together (`importMode=INCREMENTAL`)
once new items are among them, they are enough or have waited long enough (`train_update` in the program file), and
trains a version with `trainingMode=UPDATE`, which brings new items into the candidate set. Skips, and says why, when
there is nothing worth a billed run. With `train_full.drift` it also looks whether a FULL training should come early.

Only for recipes that train with ``trainingMode=UPDATE``; the others take new rows with the next `train_full`.

Each announced export starts a run. Exports announced while one is active start a single run after it, which takes all
that is pending.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_tasks import task
from recsync.dag_kit import asset, programs, schedule, stage_dag
from recsync.task_groups import hold, setup, train


@task(multiple_outputs=False)
def plan(program: str) -> dict[str, Any]:
    """Gather the pending intervals, or skip with the reason."""
    from recsync.training.training_triggers import reason_against_renewal
    from recsync.training.update_plan import NothingToTrain, plan_update

    run = get_current_context()["dag_run"]
    try:
        if reason := reason_against_renewal(program):
            raise AirflowSkipException(reason)
        return plan_update(program, run.run_id, run.run_after)
    except NothingToTrain as reason:
        raise AirflowSkipException(str(reason)) from None


@task
def look_for_drift(program: str) -> str:
    """Wake train_full when the data or the champion's figure drifted, or skip."""
    from recsync.training.training_triggers import drifted

    found = drifted(program, get_current_context()["dag_run"].run_after)
    if found is None:
        raise AirflowSkipException("Nothing drifted so far that a FULL training should come early.")
    return found


for program in programs("train_update"):
    if not program.personalize.can_update:
        continue
    on_exports = schedule(None, asset(program, "exports"))
    with stage_dag(program, "train_update", schedule=on_exports, doc_md=__doc__):
        planned = plan(program.name)
        hold(program) >> planned
        if program.train_full.drift:
            look_for_drift.override(outlets=[asset(program, "drift")])(program.name)
        resources = setup(program, after=planned, solutions=False)
        train(program, planned, resources, "UPDATE", after=planned)
