"""Training on what was imported."""

from __future__ import annotations

from typing import Any

from airflow.sdk import task

from recsync.airflow_errors import fatal_errors_fail_the_task
from recsync.core.program import Program
from recsync.operators.personalize.jobs import (
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateSolutionVersionOperator,
)
from recsync.operators.personalize.metrics import PersonalizeGetSolutionMetricsOperator
from recsync.task_groups.exclusion import must_hold
from recsync.task_groups.promoting import promote_version
from recsync.task_groups.setup import Output, Resources

PLAN = "{{ ti.xcom_pull(task_ids='plan')['%s'] }}"
VERSION = "{{ ti.xcom_pull(task_ids='version_names')['%s'] }}"


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
    promote_version(program, training_mode, metrics[0], metrics[1], baseline, segment)


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
        must_hold(program)
        return train.import_jobs(program, plan, dataset_arns)


@task(multiple_outputs=False)
def version_names(program: str, plan: dict[str, Any]) -> dict[str, str]:
    """Name the solution versions that the plan pays for."""
    from recsync.stages import train

    with fatal_errors_fail_the_task():
        must_hold(program)
        return train.version_names(program, plan)


@task
def record_imports(program: str, plan: dict[str, Any]) -> None:
    """Note that the import jobs are ACTIVE."""
    from recsync.stages import train

    with fatal_errors_fail_the_task():
        train.record_imports(program, plan)
