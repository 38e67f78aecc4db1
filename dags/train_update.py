"""### Update training

Takes every published row that is not imported yet, late ones too, imports them together (`importMode=INCREMENTAL`)
once new items are among them, they are enough or have waited long enough (`train_update` in the program file), and
trains a version with `trainingMode=UPDATE`, which brings new items into the candidate set. Skips, and says why, when
there is nothing worth a billed run. With `train_full.drift` it also looks whether a FULL training should come early.

Only for recipes that train with ``trainingMode=UPDATE``; the others take new rows with the next `train_full`.

With `personalize.update_by: events` nothing is imported or trained: the same rows are streamed by PutEvents, PutItems
and PutUsers, and `recommend` starts once batch jobs consider them, 15 minutes later. That also works for v2 recipes
and for ranking.

A program over the data of another one trains after each import of the owner's `train_update`, so only where both
recipes can.

Each announced export starts a run. Exports announced while one is active start a single run after it, which takes all
that is pending.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_tasks import task
from recsync.dag_kit import asset, imported_asset, programs, schedule, stage_dag
from recsync.task_groups.lock import acquire_lock
from recsync.task_groups.setup import setup
from recsync.task_groups.training import stream, train


@task(multiple_outputs=False)
def plan(program: str) -> dict[str, Any]:
    """Gather the pending intervals, or skip with the reason."""
    from recsync.evaluation.promotion import update_blocker
    from recsync.training.decision import NothingToTrain
    from recsync.training.update_plan import plan_update

    run = get_current_context()["dag_run"]
    try:
        if reason := update_blocker(program):
            raise AirflowSkipException(reason)
        return plan_update(program, run.run_id, run.run_after)
    except NothingToTrain as reason:
        raise AirflowSkipException(str(reason)) from None


@task(multiple_outputs=False)
def plan_stream(program: str) -> dict[str, Any]:
    """Gather the pending rows to stream, or skip with the reason."""
    from recsync.training.decision import NothingToTrain
    from recsync.training.update_plan import plan_stream

    run = get_current_context()["dag_run"]
    try:
        return plan_stream(program, run.run_id, run.run_after)
    except NothingToTrain as reason:
        raise AirflowSkipException(str(reason)) from None


@task(multiple_outputs=False)
def plan_shared(program: str) -> dict[str, Any]:
    """Fix the data of a training on what another program imported, or skip with the reason."""
    from recsync.evaluation.promotion import update_blocker
    from recsync.training.decision import NothingToTrain
    from recsync.training.shared import plan_shared

    run = get_current_context()["dag_run"]
    try:
        if reason := update_blocker(program):
            raise AirflowSkipException(reason)
        return plan_shared(program, run.run_id, run.run_after, "UPDATE")
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


for program in programs("train_update", __file__):
    if program.streams:
        if program.data is None:
            on_exports = schedule(program, "train_update", asset(program, "exports"))
            with stage_dag(program, "train_update", schedule=on_exports, doc_md=__doc__):
                planned = plan_stream.override(task_id="plan")(program.name)
                acquire_lock(program) >> planned
                if program.train_full.drift:
                    look_for_drift.override(outlets=[asset(program, "drift")])(program.name)
                stream(program, planned, setup(program, after=planned, solutions=False))
        continue
    if not (program.personalize.can_update and program.data_owner.personalize.can_update):
        continue
    if program.data is not None:
        on_import = [imported_asset(program.data_owner, "UPDATE")]
        with stage_dag(program, "train_update", schedule=on_import, doc_md=__doc__):
            planned = plan_shared.override(task_id="plan")(program.name)
            acquire_lock(program) >> planned
            train(program, planned, setup(program, after=planned, solutions=False), "UPDATE", after=planned)
        continue
    on_exports = schedule(program, "train_update", asset(program, "exports"))
    with stage_dag(program, "train_update", schedule=on_exports, doc_md=__doc__):
        planned = plan(program.name)
        acquire_lock(program) >> planned
        if program.train_full.drift:
            look_for_drift.override(outlets=[asset(program, "drift")])(program.name)
        resources = setup(program, after=planned, solutions=False)
        train(program, planned, resources, "UPDATE", after=planned)
