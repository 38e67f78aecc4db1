"""### Freshness

Only for programs with `recommendations.max_age_days`: no list in Braze may be older.

* **check** counts the lists by age, and sends an alert when no push brought newer ones for half of that time, or when
  many people have old lists although others get new ones.
* **plan** plans the removal of the lists that are too old, and of nothing else; the task skips when there is none, or
  while a push is under way. It shows the data points.
* **approve** asks a person, if the program file says so for deliveries.
* **deliver** removes them. Everybody who has a list is counted exactly once: removed, unchanged, kept (the age is not
  known before the next push), deferred over a cap, rejected or dead-lettered. A retry goes on where the killed try
  stopped.

More removals at once than `max_removed_share` need a day's notice: an alert of **check** about the same lists, sent by
the run of the day before. `allow_removals` says that they are intended now; `dry_run` only plans.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_tasks import task
from recsync.dag_kit import programs, schedule, stage_dag, start_once
from recsync.notes import link_to, note
from recsync.push.tasks import BrazeApproveDeliveryOperator, BrazeDeliverOperator

PARAMS = {
    "dry_run": Param(False, type="boolean", description="plan and write sample payloads, remove nothing"),
    "allow_removals": Param(False, type="boolean", description="people may lose their lists, however many"),
}


@task(multiple_outputs=False)
def check(program: str) -> dict[str, Any]:
    """Count the lists by age, and alert when they become old."""
    from recsync.freshness.ages import check

    ages = check(program, get_current_context()["dag_run"].run_after)
    note(f"{ages['people']:,} people have a list, {ages['too_old']:,} of them one that is too old")
    return ages


@task(multiple_outputs=True, has_page=True)
def plan(program: str) -> dict[str, Any]:
    """Plan the removal of the lists that are too old."""
    from recsync.costs.budget import delivery_cost
    from recsync.freshness.removal import plan_removal
    from recsync.program.names import run_key
    from recsync.push.plan import summary

    context = get_current_context()
    run, params = context["dag_run"], context["params"]
    if context["ti"].get_dr_count(dag_id=f"{program}_push", states=["queued", "running"]):
        raise AirflowSkipException(f"A run of {program}_push is under way and may bring newer lists.")
    manifest = plan_removal(
        program,
        dag_run=f"freshness {run.run_id}",
        run=run_key(run.run_id, run.run_after.isoformat()),
        now=run.run_after,
        allow_removals=params["allow_removals"],
        dry_run=params["dry_run"],
    )
    if manifest is None:
        raise AirflowSkipException("No list is too old.")
    link_to(f"/deliveries/{program}/{manifest.delivery}")
    cost = delivery_cost(program, manifest.delivery, manifest.estimate.data_points)
    return {**summary(manifest), "cost": cost}


for program in programs("freshness", __file__):
    if program.recommendations.max_age is None:
        continue
    due = schedule(program, "freshness")
    with stage_dag(program, "freshness", schedule=due, doc_md=__doc__, params=PARAMS) as dag:
        planned = plan(program.name)
        deliver = BrazeDeliverOperator(task_id="deliver", program=program.name, delivery=planned["delivery"])
        check(program.name) >> planned >> deliver
        above_users = program.braze.delivery.approve_above_users
        if above_users is not None:
            approve = BrazeApproveDeliveryOperator(
                task_id="approve", program=program.name, plan=planned, above_users=above_users
            )
            planned >> approve >> deliver
        start_once(dag, program, "freshness")
