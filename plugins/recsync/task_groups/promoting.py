"""Judging a trained solution version, and making it the champion."""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context, task

from recsync.airflow_errors import fatal_errors_fail_the_task


@task(multiple_outputs=False)
def promote(
    program: str,
    training_mode: str,
    solution_version_arn: str,
    metrics: dict[str, float],
    baseline_metrics: dict[str, float] | None,
    segment_version_arn: str | None,
) -> dict[str, Any]:
    """Let the gate judge the version; what passes is the champion, and recommend is told."""
    from recsync.stages import promotion

    context = get_current_context()
    with fatal_errors_fail_the_task():
        champion = promotion.promote(
            program,
            context["dag_run"].run_id,
            solution_version_arn,
            training_mode,
            metrics,
            baseline_metrics or promotion.last_baseline_metrics(program),
            segment_version_arn,
        )
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = champion
    return champion
