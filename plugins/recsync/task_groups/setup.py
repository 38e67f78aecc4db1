"""Set up the resources of a program in Amazon Personalize: dataset group, schemas, datasets, solutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow.sdk import task_group

from airflow_personalize.operators.resources import (
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
)
from airflow_personalize.operators.update import PersonalizeUpdateSolutionOperator
from recsync import settings
from recsync.airflow_tasks import task
from recsync.program import Program, names
from recsync.training.solutions import SolutionSpec, trained_by_full

# A reference to a task's result while the DAG is parsed, the result itself when a task runs.
Output: TypeAlias = Any


@dataclass(frozen=True)
class Resources:
    """ARNs that the setup tasks return.

    :param datasets: dataset type -> dataset.
    :param solutions: solutions by the prefix of their tasks; see :mod:`recsync.training.solutions`.
    """

    dataset_group: Output
    datasets: dict[str, Output]
    solutions: dict[str, Output]


def setup(program: Program, after: Output | None = None, *, solutions: bool = True) -> Resources:
    """Create or adopt the resources of a program; drift fails the task that finds it.

    :param after: task that must have succeeded first; when it skips, nothing is set up.
    :param solutions: whether solutions are set up; a run that trains an existing solution needs none.
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
        made = _solutions(program, dataset_group, datasets) if solutions else {}
        resources.append(Resources(dataset_group, datasets, made))

    group()
    return resources[0]


def _after(first: Output | None, then: Output) -> None:
    if first is not None:
        first >> then


def _solutions(program: Program, dataset_group: Output, datasets: dict[str, Output]) -> dict[str, Output]:
    """Create or adopt the solutions that a FULL training uses, with the pinned hyperparameters."""
    arguments: Output = solution_settings(program.name, dataset_group)
    # A solution's columns are checked against the existing datasets.
    list(datasets.values()) >> arguments
    # The program file alone decides which solutions exist; their settings depend on state.
    return {
        prefix: _solution(program, prefix, spec, arguments, dataset_group)
        for prefix, spec in trained_by_full(program, {}).items()
    }


def _solution(
    program: Program, prefix: str, spec: SolutionSpec, arguments: Output, dataset_group: Output
) -> Output:
    solution: Output = PersonalizeCreateSolutionOperator(
        task_id=f"{prefix}solution",
        solution_name=arguments[f"{prefix}name"],
        dataset_group_arn=dataset_group,
        recipe_arn=names.recipe_arn(spec.recipe),
        event_type=spec.event_type,
        solution_config=arguments[f"{prefix}config"],
        aws_conn_id=program.aws,
    ).output
    if spec.events_config is None:
        return solution
    return PersonalizeUpdateSolutionOperator(
        task_id=f"{prefix}event_weights",
        solution_arn=solution,
        solution_update_config={"eventsConfig": spec.events_config},
        aws_conn_id=program.aws,
    ).output


@task(multiple_outputs=True)
def solution_settings(program: str, dataset_group_arn: str) -> dict[str, Any]:
    """Return the present settings of the solutions."""
    from recsync.training import tuning

    return tuning.solution_settings(program, dataset_group_arn)
