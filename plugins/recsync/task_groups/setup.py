"""Set up a program in Amazon Personalize: dataset group, schemas, datasets, solutions, event tracker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow.sdk import task_group

from airflow_personalize.operators.attribution import (
    PersonalizeCreateMetricAttributionOperator,
    PersonalizeUpdateMetricAttributionOperator,
)
from airflow_personalize.operators.events import PersonalizeCreateEventTrackerOperator
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
    :param metric_attribution: None for a program without one.
    :param event_tracker: None for a program that streams nothing.
    :param solutions: solutions by the prefix of their tasks; see :mod:`recsync.training.solutions`.
    """

    dataset_group: Output
    datasets: dict[str, Output]
    solutions: dict[str, Output]
    metric_attribution: Output | None = None
    event_tracker: Output | None = None


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
        attribution = _metric_attribution(program, dataset_group, datasets)
        tracker = _event_tracker(program, dataset_group, datasets)
        resources.append(Resources(dataset_group, datasets, made, attribution, tracker))

    group()
    return resources[0]


def _after(first: Output | None, then: Output) -> None:
    if first is not None:
        first >> then


def _metric_attribution(
    program: Program, dataset_group: Output, datasets: dict[str, Output]
) -> Output | None:
    """Create or adopt the metric attribution, and give it the metrics of the program file.

    It counts only rows imported after its creation. It belongs to the owner of the data.
    """
    if program.data is not None or not program.attribution.metrics:
        return None
    arguments: Output = metric_settings(program.name, dataset_group)
    # Metrics are checked against the existing datasets.
    list(datasets.values()) >> arguments
    arn: Output = PersonalizeCreateMetricAttributionOperator(
        task_id="metric_attribution",
        metric_attribution_name=names.metric_attribution_name(program),
        dataset_group_arn=dataset_group,
        metrics=arguments["metrics"],
        role_arn=arguments["role_arn"],
        output_path=arguments["output_path"],
        aws_conn_id=program.aws,
    ).output
    return PersonalizeUpdateMetricAttributionOperator(
        task_id="metrics",
        metric_attribution_arn=arn,
        add_metrics=arguments["add"],
        remove_metrics=arguments["remove"],
        role_arn=arguments["wanted_role_arn"],
        output_path=arguments["wanted_path"],
        aws_conn_id=program.aws,
    ).output


def _event_tracker(program: Program, dataset_group: Output, datasets: dict[str, Output]) -> Output | None:
    """Create the event tracker, or adopt the one of the dataset group, whoever made it."""
    if program.data is not None or not program.streams:
        return None
    name: Output = tracker_name(program.name, dataset_group)
    # Its events go into the Interactions dataset.
    list(datasets.values()) >> name
    return PersonalizeCreateEventTrackerOperator(
        task_id="event_tracker",
        event_tracker_name=name,
        dataset_group_arn=dataset_group,
        aws_conn_id=program.aws,
    ).output


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


@task
def tracker_name(program: str, dataset_group_arn: str) -> str:
    """Return the name of the dataset group's event tracker, or the name for a new one."""
    from airflow_personalize.hooks.personalize import PersonalizeHook
    from airflow_personalize.resource import State, state_of
    from airflow_personalize.resources import EVENT_TRACKER
    from recsync.context import StageContext

    owner = StageContext.of(program).program
    found = PersonalizeHook(aws_conn_id=owner.aws).listed(EVENT_TRACKER, datasetGroupArn=dataset_group_arn)
    there = (str(each["name"]) for each in found if state_of(each) is not State.GONE)
    return next(there, names.event_tracker_name(owner))


@task(multiple_outputs=True)
def metric_settings(program: str, dataset_group_arn: str) -> dict[str, Any]:
    """Return the present settings of the metric attribution, and the changes to make."""
    from recsync.attribution import reports
    from recsync.context import StageContext
    from recsync.imports.store import ImportStore
    from recsync.program import DatasetType

    context = StageContext.of(program)
    items_imported = DatasetType.ITEMS in context.store(ImportStore).read().full
    return reports.metric_settings(context, dataset_group_arn, items_imported=items_imported)
