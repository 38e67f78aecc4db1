"""Searching for hyperparameters, and pinning what was found."""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context

from airflow_personalize.operators.jobs import PersonalizeCreateSolutionVersionOperator
from airflow_personalize.operators.metrics import PersonalizeGetSolutionMetricsOperator
from airflow_personalize.operators.resources import PersonalizeCreateSolutionOperator
from recsync.airflow_tasks import task
from recsync.books.tasks import BookTraining
from recsync.program import Program, names
from recsync.task_groups.exclusion import HoldsLease, must_hold
from recsync.task_groups.setup import Output, Resources
from recsync.training.solutions import searching


def tune(program: Program, plan: Output, resources: Resources) -> None:
    """Train a version that searches, and pin its winners if they are worth it."""
    spec = searching(program)
    solution: Output = PersonalizeCreateSolutionOperator(
        task_id="solution",
        solution_name=spec.name,
        dataset_group_arn=resources.dataset_group,
        recipe_arn=names.recipe_arn(spec.recipe),
        event_type=spec.event_type,
        solution_config=dict(spec.config),
        perform_hpo=spec.perform_hpo,
        aws_conn_id=program.aws,
    ).output
    # A solution's columns are checked against the datasets that are there.
    list(resources.datasets.values()) >> solution
    name: Output = version_name(program.name, plan)
    solution >> name
    version: Output = PersonalizeCreateSolutionVersionOperator(
        task_id="solution_version",
        solution_version_name=name,
        solution_arn=solution,
        aws_conn_id=program.aws,
        pre_execute=HoldsLease(program.name),
    ).output
    metrics: Output = PersonalizeGetSolutionMetricsOperator(
        task_id="metrics",
        solution_version_arn=version,
        aws_conn_id=program.aws,
        on_success_callback=BookTraining(program.name),
    ).output
    pin(program.name, version, metrics)


@task
def version_name(program: str, plan: dict[str, Any]) -> str:
    """Name the solution version that the search pays for."""
    from recsync.training import tuning

    must_hold(program)
    return tuning.version_name(program, plan)


@task(multiple_outputs=False)
def pin(program: str, solution_version_arn: str, metrics: dict[str, float]) -> dict[str, Any]:
    """Pin the winners into later FULL trainings, unless they are worse than the champion."""
    from recsync.training import tuning

    run_id = get_current_context()["dag_run"].run_id
    return tuning.conclude(program, run_id, solution_version_arn, metrics)
