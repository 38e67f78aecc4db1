"""Weights; tests/e2e/test_priorities.py lets Airflow's scheduler choose by them."""

from __future__ import annotations

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.utils.types import DagRunType

from recsync.stages import STAGES
from recsync.task_priority import BACKFILL_WEIGHT, BACKFILLS_LAST, BackfillsLast


@pytest.mark.parametrize("kind", list(DagRunType))
def test_a_backfill_weighs_less_than_every_stage(kind: DagRunType) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("shop_export", schedule=None) as dag:
        EmptyOperator(task_id="one", priority_weight=30, weight_rule=BACKFILLS_LAST)
        EmptyOperator(task_id="two", priority_weight=30)
    task = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("one")
    assert isinstance(task.weight_rule, BackfillsLast)
    run_id = kind.generate_run_id(suffix="2026-05-04T10:00:00")
    ti = TaskInstance(task, run_id=run_id, dag_version_id=None)  # type: ignore[arg-type]
    expected = BACKFILL_WEIGHT if kind == DagRunType.BACKFILL_JOB else 30
    assert ti.priority_weight == expected
    assert min(stage.weight for stage in STAGES) > BACKFILL_WEIGHT
