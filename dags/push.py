"""### Push

Brings Braze in step with published recommendations.

* **plan** compares them with what Braze was last told; Braze is not asked, and what has not changed is not sent.
* **approve** asks a person before a large delivery, when the program file says so.
* **deliver** writes the catalogue, then a canary share of the people, then everybody else; whoever left the audience
  loses the attribute. Every person of the audience is counted exactly once: sent, unchanged, removed, rejected,
  dead-lettered, suppressed or deferred. A retry goes on where the killed try stopped.
* **verify** reads a sample back, and writes again what Braze took and lost.

Runs whenever recommendations are published, and delivers the newest; those published while a run is active are one run
after it. Older recommendations are never written over newer ones. What was published while this DAG was paused, or the
program file broken, is delivered by its next scheduled look (`schedules.push`), which skips when there is nothing newer
than what Braze was told.

Run by hand, it delivers the newest; `dry_run` only plans and writes sample payloads; `replay` sends the dead letters of
an earlier delivery again, after their cause was mended; `resync` writes everybody anew, whatever Braze was told last.

A push that would take more than ten lists and more than `max_removed_share` of all of them stops at `plan` (or asks at
`approve`): missing input looks like that. `allow_removals` says that it is meant.
"""

from __future__ import annotations

from airflow.sdk import Param

from recsync.dag_kit import asset, optional_text, programs, schedule, stage_dag
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
    "resync": Param(False, type="boolean", description="write everybody anew, whatever Braze was told last"),
    "allow_removals": Param(
        False,
        type="boolean",
        description="the people who lose their list are meant to, however many they are",
    ),
    "replay": optional_text("delivery whose dead letters are sent again"),
}

for program in programs("push"):
    on_recommendations = schedule(program.schedules.push, asset(program, "recommendations"))
    with stage_dag(program, "push", schedule=on_recommendations, doc_md=__doc__, params=PARAMS):
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
        verify = BrazeVerifyDeliveryOperator(task_id="verify", program=program.name, delivery=DELIVERY)
        above_users = program.braze.delivery.approve_above_users
        if above_users is None:
            plan >> deliver >> verify
        else:
            approve = BrazeApproveDeliveryOperator(
                task_id="approve", plan=plan.output, above_users=above_users
            )
            plan >> approve >> deliver >> verify
