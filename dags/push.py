"""### Push

Brings Braze in step with published recommendations.

* **plan** compares them with what Braze was last told; Braze is not asked, and what has not changed is not sent.
* **approve** asks a person before a large delivery, when the program file says so.
* **deliver** writes the catalogue, then a canary share of the people, then everybody else; whoever left the audience
  loses the attribute. Every person of the audience is counted exactly once: sent, unchanged, removed, rejected,
  dead-lettered, suppressed or deferred. A retry goes on where the killed try stopped.
* **verify** reads a sample back, and writes again what Braze took and lost.

One run per published recommendations. Older recommendations are never written over newer ones. Run by hand, it
delivers the newest; `dry_run` only plans and writes sample payloads; `replay` sends the dead letters of an earlier
delivery again, after their cause was mended.
"""

from __future__ import annotations

from airflow.sdk import Param, PartitionedAssetTimetable

from recsync.operators.braze import (
    BrazeApproveDeliveryOperator,
    BrazeDeliverOperator,
    BrazePlanDeliveryOperator,
    BrazeVerifyDeliveryOperator,
)
from recsync.stage_dags import asset, optional_text, programs, stage_dag

DELIVERY = "{{ ti.xcom_pull(task_ids='plan')['delivery'] }}"
PARAMS = {
    "recommendations": optional_text("recommend run to deliver; empty: the newest"),
    "dry_run": Param(False, type="boolean", description="plan and write sample payloads, send nothing"),
    "replay": optional_text("delivery whose dead letters are sent again"),
}

for program in programs("push"):
    schedule = PartitionedAssetTimetable(assets=asset(program, "recommendations"))
    with stage_dag(program, "push", schedule=schedule, doc_md=__doc__, params=PARAMS):
        plan = BrazePlanDeliveryOperator(
            task_id="plan",
            program=program.name,
            recommendations="{{ params.recommendations or dag_run.partition_key or '' }}",
            plan_only="{{ params.dry_run }}",
            replay="{{ params.replay or '' }}",
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
