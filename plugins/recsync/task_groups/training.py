"""Setting up the dataset group, and training on what was imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow.sdk import get_current_context, task, task_group

from recsync import settings
from recsync.airflow_errors import fatal_errors_fail_the_task
from recsync.core import names
from recsync.core.program import Program
from recsync.operators.personalize.jobs import (
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateSolutionVersionOperator,
)
from recsync.operators.personalize.metrics import PersonalizeGetSolutionMetricsOperator
from recsync.operators.personalize.resources import (
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
)
from recsync.stage_dags import asset

# A reference to a task's result while the DAG is parsed, the result itself when a task runs.
Output: TypeAlias = Any

PLAN = "{{ ti.xcom_pull(task_ids='plan')['%s'] }}"
VERSION = "{{ ti.xcom_pull(task_ids='version_names')['%s'] }}"


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


def train(program: Program, plan: Output, resources: Resources, training_mode: str, after: Output) -> None:
    """Import what the plan names, train, read the metrics, and promote what passes the gate.

    :param after: task after which the rows to import are published.
    """
    jobs: Output = import_jobs(program.name, plan, resources.datasets)
    versions: Output = version_names(program.name, plan)
    after >> [jobs, versions]
    imports = PersonalizeCreateDatasetImportJobOperator.partial(
        task_id="import",
        aws_conn_id=program.aws,
        map_index_template="{{ task.dataset_arn.rsplit('/', 1)[-1] }}",
    ).expand_kwargs(jobs)
    # A FULL run whose datasets are all unchanged imports nothing and trains all the same.
    recorded = record_imports.override(trigger_rule="none_failed_min_one_success")(program.name, plan)
    [imports, versions] >> recorded
    metrics = _train_one(program, "", resources.solution, "solution_version", training_mode, recorded)
    baseline: Any = None
    segment: Any = None
    if resources.baseline is not None and training_mode == "FULL":
        baseline = _train_one(program, "baseline_", resources.baseline, "baseline_version", "FULL", recorded)[
            1
        ]
    if resources.segment is not None and training_mode == "FULL":
        segment = _train_one(program, "segment_", resources.segment, "segment_version", "FULL", recorded)[0]
    told = training_mode == "FULL" or program.schedules.recommend_after_update
    promote.override(outlets=[asset(program, "champion")] if told else [])(
        program.name, training_mode, metrics[0], metrics[1], baseline, segment
    )


def _train_one(
    program: Program, prefix: str, solution: Output, name: str, training_mode: str, after: Output
) -> tuple[Output, Output]:
    version: Any = PersonalizeCreateSolutionVersionOperator(
        task_id=f"{prefix}solution_version",
        solution_version_name=VERSION % name,
        solution_arn=solution,
        training_mode=training_mode,
        aws_conn_id=program.aws,
    )
    after >> version
    metrics = PersonalizeGetSolutionMetricsOperator(
        task_id=f"{prefix}metrics", solution_version_arn=version.output, aws_conn_id=program.aws
    )
    return version.output, metrics.output


@task
def import_jobs(program: str, plan: dict[str, Any], dataset_arns: dict[str, str]) -> list[dict[str, str]]:
    """Say which import jobs the plan pays for."""
    from recsync.stages import train

    with fatal_errors_fail_the_task():
        return train.import_jobs(program, plan, dataset_arns)


@task(multiple_outputs=False)
def version_names(program: str, plan: dict[str, Any]) -> dict[str, str]:
    """Name the solution versions that the plan pays for."""
    from recsync.stages import train

    with fatal_errors_fail_the_task():
        return train.version_names(program, plan)


@task
def record_imports(program: str, plan: dict[str, Any]) -> None:
    """Note that the import jobs are ACTIVE."""
    from recsync.stages import train

    with fatal_errors_fail_the_task():
        train.record_imports(program, plan)


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
    from recsync.stages import train

    context = get_current_context()
    with fatal_errors_fail_the_task():
        champion = train.promote(
            program,
            context["dag_run"].run_id,
            solution_version_arn,
            training_mode,
            metrics,
            baseline_metrics or train.last_baseline_metrics(program),
            segment_version_arn,
        )
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = champion
    return champion
