"""### Full training

A fresh snapshot of every dataset (with `train_full.import_from: intervals`, the interactions of all published intervals
instead), FULL imports of what changed since the last one, a solution version trained with `trainingMode=FULL`, its
metrics, the gate, and the champion. With a `baseline_recipe` in the program file, a baseline is trained on the same
data.

A scheduled run skips, with the reason, when no interactions came since the last FULL training; one that a person starts
always trains. With `train_full.drift` in the program file, `train_update` starts one early when the data or the
champion's figure drifted.

A program over the data of another one (`data` in its file) exports and imports nothing. It trains after each FULL
import of the owner, on what the datasets then hold, and finds the owner's training when the settings are the same.

`preflight` comes first: connections, queries, ids, quotas and permissions, before anything is billed. It reports every
problem at once.

Waits, without a worker slot, until no other run imports, trains or deletes in the dataset group; meanwhile hourly
updates wait for this one. A retried task adopts the job of the first try; only a job that failed is paid for again,
under the next name.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_tasks import task
from recsync.dag_kit import (
    asset,
    check_first,
    imported_asset,
    interactions_last,
    optional_text,
    programs,
    schedule,
    stage_dag,
    start_once,
)
from recsync.export.tasks import WarehouseToS3Operator
from recsync.program import DatasetType
from recsync.program.intervals import EPOCH
from recsync.task_groups.lock import acquire_lock
from recsync.task_groups.setup import setup
from recsync.task_groups.training import PLAN, train

PLANNED_KEY = "{{ ti.xcom_pull(task_ids='plan')['keys']['%s'] }}"
PARAMS = {
    "until": optional_text(
        "End of the data, cut to a boundary of the export's intervals; empty means the last one.",
        format="date-time",
    )
}


@task(multiple_outputs=False)
def plan(program: str) -> dict[str, Any]:
    """Decide whether the training is worth its price, and fix the end of its data."""
    from recsync.imports.full import plan_full
    from recsync.training.training_triggers import full_needed

    context = get_current_context()
    run, until = context["dag_run"], context["params"].get("until")
    if run.run_type != "manual":
        decision = full_needed(program, run.run_after, due=run.run_type == "scheduled")
        if not decision.train:
            raise AirflowSkipException(decision.why)
        logging.getLogger(__name__).info("FULL: %s", decision.why)
    return plan_full(program, run.run_id, run.run_after, datetime.fromisoformat(until) if until else None)


@task(multiple_outputs=False)
def plan_shared(program: str) -> dict[str, Any]:
    """Fix the data of a training on what another program imported, or skip with the reason."""
    from recsync.training.decision import NothingToTrain
    from recsync.training.shared import plan_shared

    run = get_current_context()["dag_run"]
    try:
        return plan_shared(program, run.run_id, run.run_after, "FULL")
    except NothingToTrain as reason:
        raise AirflowSkipException(str(reason)) from None


@task(multiple_outputs=False)
def gather_intervals(program: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Take the interactions from the published intervals instead of the warehouse."""
    from recsync.imports import full

    return full.gather_intervals(program, plan)


@task(multiple_outputs=False)
def publish(program: str, plan: dict[str, Any], exported: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Publish the snapshot, now that every dataset passed its checks."""
    from recsync.imports.full import publish_full

    return publish_full(program, plan, exported)


for program in programs("train_full", __file__):
    if program.data is not None:
        on_import = [imported_asset(program.data_owner, "FULL")]
        with stage_dag(program, "train_full", schedule=on_import, doc_md=__doc__) as dag:
            planned = plan_shared.override(task_id="plan")(program.name)
            acquire_lock(program) >> planned
            train(program, planned, setup(program, after=planned), "FULL", after=planned)
            check_first(dag, program)
        continue
    looks_for_drift = program.train_full.drift and (program.streams or program.personalize.can_update)
    due = schedule(program, "train_full", *([asset(program, "drift")] if looks_for_drift else []))
    with stage_dag(program, "train_full", schedule=due, doc_md=__doc__, params=PARAMS) as dag:
        planned = plan(program.name)
        acquire_lock(program) >> planned
        gathers = program.train_full.import_from == "intervals"
        exported: dict[str, Any] = {
            kind.value: WarehouseToS3Operator(
                task_id=f"export_{kind.folder}",
                program=program.name,
                dataset_type=kind.value,
                interval_start=EPOCH.isoformat(),
                interval_end=PLAN % "until",
                s3_key=PLANNED_KEY % kind.value,
            ).output
            for kind in program.dataset_types
            if not (gathers and kind is DatasetType.INTERACTIONS)
        }
        planned >> list(exported.values())
        interactions_last(exported)
        if gathers:
            exported[DatasetType.INTERACTIONS.value] = gather_intervals(program.name, planned)
        published = publish(program.name, planned, exported)
        train(program, planned, setup(program, after=planned), "FULL", after=published)
        check_first(dag, program)
        start_once(dag, program, "train_full")
