"""### Full training

A fresh snapshot of every dataset (with `train_full.import_from: intervals`, the interactions of all published intervals
instead), FULL imports of what changed since the last one, a solution version trained with `trainingMode=FULL`, its
metrics, the gate, and the champion. With a `baseline_recipe` in the program file, a baseline is trained on the same
data.

A run of the schedule skips, with the reason, when nothing came since the last FULL training; one that a person starts
always trains. With `train_full.drift` in the program file, `train_update` starts one early when the data or the
champion's figure drifted.

`preflight` comes first: connections, queries, ids, quotas and permissions, before anything is billed; every problem is
told at once.

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
from recsync.dag_kit import asset, interactions_last, optional_text, programs, schedule, stage_dag
from recsync.export.tasks import WarehouseToS3Operator
from recsync.program import DatasetType
from recsync.program.intervals import EPOCH
from recsync.task_groups import PLAN, check_first, hold, setup, train

PLANNED_KEY = "{{ ti.xcom_pull(task_ids='plan')['keys']['%s'] }}"
PARAMS = {
    "until": optional_text(
        "End of the data, cut to a boundary of the export's intervals; empty means the last one.",
        format="date-time",
    )
}


@task(multiple_outputs=False)
def plan(program: str) -> dict[str, Any]:
    """Decide whether the training is worth its price, and fix the end of the data and the names of the jobs."""
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
def gather_intervals(program: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Take the interactions from the published intervals instead of the warehouse."""
    from recsync.imports import full

    return full.gather_intervals(program, plan)


@task(multiple_outputs=False)
def publish(program: str, plan: dict[str, Any], exported: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Publish the snapshot, now that every dataset passed its checks."""
    from recsync.imports.full import publish_full

    return publish_full(program, plan, exported)


for program in programs("train_full"):
    looks_for_drift = program.train_full.drift and program.personalize.can_update
    due = schedule(program.schedules.train_full, *([asset(program, "drift")] if looks_for_drift else []))
    with stage_dag(program, "train_full", schedule=due, doc_md=__doc__, params=PARAMS) as dag:
        planned = plan(program.name)
        hold(program) >> planned
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
