"""### Push

Brings Braze in step with published recommendations: the catalogue first, then every attribute that differs from what
Braze was last told; whoever left the audience loses the attribute. A sample is read back, and a report counts
every person of the audience exactly once: sent, unchanged, removed, rejected or suppressed.

One run per published recommendations. A retry goes on where the killed try stopped. Older recommendations
are never written over newer ones. Run by hand without a partition key, it pushes the newest.
"""

from __future__ import annotations

from airflow.sdk import PartitionedAssetTimetable

from recsync.operators.braze import BrazePushRecommendationsOperator
from recsync.stage_dags import asset, programs, stage_dag

for program in programs("push"):
    schedule = PartitionedAssetTimetable(assets=asset(program, "recommendations"))
    with stage_dag(program, "push", schedule=schedule, doc_md=__doc__):
        BrazePushRecommendationsOperator(
            task_id="push", program=program.name, recommendations="{{ dag_run.partition_key or '' }}"
        )
