"""A task that does nothing: what any task holds in memory before its operator begins."""

from __future__ import annotations

from typing import Any

from benchmarks.export.airflow_task import run_tasks
from benchmarks.job import ExportJob


def export(job: ExportJob) -> None:
    """Run it."""
    from airflow.sdk import BaseOperator

    class IdleOperator(BaseOperator):
        def execute(self, context: Any) -> None:
            del context

    run_tasks(job, lambda: [IdleOperator(task_id="idle")])
