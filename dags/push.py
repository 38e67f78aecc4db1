"""### Push

Brings Braze in step with published recommendations.

* **plan** compares them with the last-sent state; Braze is not asked, and unchanged values are not sent.
* **approve** asks a person before a large delivery, if the program file says so.
* **deliver** writes the catalog, then a canary share of the users, then the others; users who left the audience
  lose the attributes. Every user of the audience is counted exactly once: sent, unchanged, removed, rejected,
  dead-lettered, suppressed, deferred, kept or held out. A retry goes on where the killed try stopped.
* **verify** reads a sample back, and writes again what Braze lost.

It runs whenever recommendations are published, and delivers the newest; those published during a run are delivered by
one run after it. Older recommendations never overwrite newer ones. Recommendations published while this DAG was
paused, or the program file broken, are delivered by its next scheduled run (`schedules.push`), which skips when nothing
is newer than the last delivery.

A manual run delivers the newest; `dry_run` only plans and writes sample payloads; `replay` sends the dead letters of
an earlier delivery again, after their cause was fixed; `resync` writes every user, whatever was sent before.

A push that would remove more than ten lists and more than `max_removed_share` of all of them stops at `plan` (or asks
at `approve`): missing input looks like that. `allow_removals` says that it is intended.
"""

from __future__ import annotations

from airflow.sdk import Param

from recsync.dag_kit import asset, optional_text, programs, schedule, stage_dag, start_once
from recsync.push.tasks import (
    BrazeApproveDeliveryOperator,
    BrazeDeliverOperator,
    BrazePlanDeliveryOperator,
    BrazeVerifyDeliveryOperator,
)

DELIVERY = "{{ ti.xcom_pull(task_ids='plan')['delivery'] }}"
PARAMS = {
    "recommendations": optional_text("recommend run to deliver; empty: the newest"),
    "dry_run": Param(False, type="boolean", description="plan and write sample payloads, send nothing"),
    "resync": Param(False, type="boolean", description="write every user, whatever was sent before"),
    "allow_removals": Param(
        False,
        type="boolean",
        description="users may lose their lists, however many",
    ),
    "replay": optional_text("delivery whose dead letters are sent again"),
}

for program in programs("push", __file__):
    on_recommendations = schedule(program, "push", asset(program, "recommendations"))
    with stage_dag(program, "push", schedule=on_recommendations, doc_md=__doc__, params=PARAMS) as dag:
        plan = BrazePlanDeliveryOperator(
            task_id="plan",
            program=program.name,
            recommendations="{{ params.recommendations or '' }}",
            plan_only="{{ params.dry_run }}",
            replay="{{ params.replay or '' }}",
            resync="{{ params.resync }}",
            allow_removals="{{ params.allow_removals }}",
        )
        deliver = BrazeDeliverOperator(task_id="deliver", program=program.name, delivery=DELIVERY)
        verify = BrazeVerifyDeliveryOperator(
            task_id="verify",
            program=program.name,
            delivery=DELIVERY,
            outlets=[asset(program, "deliveries")] if program.tables else [],
        )
        above_users = program.braze.delivery.approve_above_users
        if above_users is None:
            plan >> deliver >> verify
        else:
            approve = BrazeApproveDeliveryOperator(
                task_id="approve", program=program.name, plan=plan.output, above_users=above_users
            )
            plan >> approve >> deliver >> verify
        start_once(dag, program, "push")
