"""Judging a trained solution version, asking a person where the program wants it, and making it the champion."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import get_current_context

from recsync.airflow_tasks import task
from recsync.dag_kit import asset
from recsync.evaluation.approval import ApprovePromotionOperator
from recsync.program import Program
from recsync.task_groups.setup import Output


def promote_version(
    program: Program,
    training_mode: str,
    version: Output,
    metrics: Output,
    baseline_metrics: Output,
    segment_version: Output,
) -> None:
    """Judge a version, and promote it when it passes; recommend is told of the new champion."""
    judged: Output = judge(program.name, training_mode, version, metrics, baseline_metrics, segment_version)
    answer: Output = None
    if program.gate.asks_a_person(training_mode):
        answer = ApprovePromotionOperator(
            task_id="approve",
            program=program.name,
            judged=judged,
            response_timeout=timedelta(hours=program.gate.approval_hours),
        ).output
    told = training_mode == "FULL" or program.schedules.recommend_after_update
    promote.override(outlets=[asset(program, "champion")] if told else [])(program.name, judged, answer)


@task(multiple_outputs=False)
def judge(
    program: str,
    training_mode: str,
    solution_version_arn: str,
    metrics: dict[str, float],
    baseline_metrics: dict[str, float] | None,
    segment_version_arn: str | None,
) -> dict[str, Any]:
    """Compare the version with the champion and its baseline; one that does not pass fails with the figures."""
    from recsync.evaluation import promotion

    run_id = get_current_context()["dag_run"].run_id
    return promotion.judge_version(
        program,
        run_id,
        solution_version_arn,
        training_mode,
        metrics,
        baseline_metrics,
        segment_version_arn,
    )


@task(multiple_outputs=False)
def promote(program: str, judged: dict[str, Any], answer: dict[str, Any] | None) -> dict[str, Any]:
    """Make the version the champion, and tell recommend."""
    from recsync.evaluation import promotion

    context = get_current_context()
    champion = promotion.promote(program, judged, approved_by=(answer or {}).get("by", ""))
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = champion
    return champion
