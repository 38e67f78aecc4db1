"""Setting up what a program needs in Amazon Personalize: dataset group, schemas, datasets, solutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow.sdk import task_group

from recsync import settings
from recsync.core import names
from recsync.core.program import Program
from recsync.operators.personalize.resources import (
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
)

# A reference to a task's result while the DAG is parsed, the result itself when a task runs.
Output: TypeAlias = Any


@dataclass(frozen=True)
class Resources:
    """ARNs that the setup tasks return: dataset type -> dataset, and the solutions.

    :param segment: of the solution that finds the audience.
    """

    datasets: dict[str, Output]
    solution: Output
    baseline: Output | None
    segment: Output | None


def setup(program: Program, after: Output | None = None) -> Resources:
    """Create or adopt everything a program needs in Amazon Personalize; drift fails the task that finds it.

    :param after: task that must have succeeded first; when it skips, nothing is set up.
    """
    aws = {"aws_conn_id": program.aws}
    resources: list[Resources] = []

    @task_group(group_id="setup")
    def group() -> None:
        dataset_group: Output = PersonalizeCreateDatasetGroupOperator(
            task_id="dataset_group", dataset_group_name=names.dataset_group_name(program), **aws
        ).output
        _after(after, dataset_group)
        datasets = {}
        for kind in program.dataset_types:
            text = settings.schema(program, kind).text
            schema: Output = PersonalizeCreateSchemaOperator(
                task_id=f"schema_{kind.folder}",
                schema_name=names.schema_name(program, kind, text),
                schema=text,
                **aws,
            ).output
            _after(after, schema)
            datasets[kind.value] = PersonalizeCreateDatasetOperator(
                task_id=f"dataset_{kind.folder}",
                dataset_name=names.dataset_name(program, kind),
                dataset_type=kind.value,
                schema_arn=schema,
                dataset_group_arn=dataset_group,
                **aws,
            ).output
        personalize = program.personalize
        config = personalize.solution_config
        solution = _solution(program, "solution", personalize.recipe, dataset_group, config)
        baseline = segment = None
        if personalize.baseline_recipe:
            baseline = _solution(program, "baseline_solution", personalize.baseline_recipe, dataset_group, {})
        if program.audience.segment:
            segment = _solution(program, "segment_solution", names.SEGMENT_RECIPE, dataset_group, {})
        resources.append(Resources(datasets, solution, baseline, segment))

    group()
    return resources[0]


def _after(first: Output | None, then: Output) -> None:
    if first is not None:
        first >> then


def _solution(
    program: Program, task_id: str, recipe: str, dataset_group: Output, config: dict[str, Any]
) -> Output:
    return PersonalizeCreateSolutionOperator(
        task_id=task_id,
        solution_name=names.solution_name(program, recipe),
        dataset_group_arn=dataset_group,
        recipe_arn=names.recipe_arn(recipe),
        event_type=program.personalize.event_type,
        solution_config=config or None,
        aws_conn_id=program.aws,
    ).output
