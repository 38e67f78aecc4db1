"""Training on what was imported."""

from __future__ import annotations

from typing import Any

from airflow_personalize.operators.jobs import (
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateSolutionVersionOperator,
)
from airflow_personalize.operators.metrics import PersonalizeGetSolutionMetricsOperator
from recsync.airflow_tasks import task
from recsync.books.tasks import BookTraining
from recsync.program import Program
from recsync.task_groups.exclusion import HoldsLease, must_hold
from recsync.task_groups.promoting import promote_version
from recsync.task_groups.setup import Output, Resources
from recsync.training.solutions import BASELINE, OWN, SEGMENT, challenger_prefix

PLAN = "{{ ti.xcom_pull(task_ids='plan')['%s'] }}"
VERSION = "{{ ti.xcom_pull(task_ids='version_names')['%s'] }}"


def train(program: Program, plan: Output, resources: Resources, training_mode: str, after: Output) -> None:
    """Import what the plan names, train, read the metrics, and promote what passes the gate.

    An UPDATE trains the solution that the plan names, the champion's own.

    :param after: task after which the rows to import are published.
    """
    jobs: Output = import_jobs(program.name, plan, resources.datasets)
    versions: Output = version_names(program.name, plan)
    after >> [jobs, versions]
    imports = PersonalizeCreateDatasetImportJobOperator.partial(
        task_id="import",
        aws_conn_id=program.aws,
        pre_execute=HoldsLease(program.name, imports=True),
        map_index_template="{{ task.dataset_arn.rsplit('/', 1)[-1] }}",
    ).expand_kwargs(jobs)
    # A FULL run whose datasets are all unchanged imports nothing and trains all the same.
    recorded = record_imports.override(trigger_rule="none_failed_min_one_success")(program.name, plan)
    [imports, versions] >> recorded
    if training_mode == "UPDATE":
        version, metrics = _train_one(program, OWN, PLAN % "solution_arn", "UPDATE", recorded)
        promote_version(program, training_mode, version, metrics, None, None)
        return
    trained = {
        prefix: _train_one(program, prefix, solution, "FULL", recorded)
        for prefix, solution in resources.solutions.items()
    }
    version, metrics = trained[OWN]
    segment_version, _ = trained.get(SEGMENT, (None, None))
    _, baseline_metrics = trained.get(BASELINE, (None, None))
    if program.personalize.challengers:
        chosen = _compared(program, plan, trained, baseline_metrics)
        if program.personalize.promote_best:
            version, metrics = chosen["solution_version_arn"], chosen["metrics"]
    promote_version(program, training_mode, version, metrics, baseline_metrics, segment_version)


def _train_one(
    program: Program, prefix: str, solution: Output, training_mode: str, after: Output
) -> tuple[Output, Output]:
    version: Any = PersonalizeCreateSolutionVersionOperator(
        task_id=f"{prefix}solution_version",
        solution_version_name=VERSION % f"{prefix}solution_version",
        solution_arn=solution,
        training_mode=training_mode,
        aws_conn_id=program.aws,
        pre_execute=HoldsLease(program.name),
    )
    after >> version
    metrics = PersonalizeGetSolutionMetricsOperator(
        task_id=f"{prefix}metrics",
        solution_version_arn=version.output,
        aws_conn_id=program.aws,
        on_success_callback=BookTraining(program.name),
    )
    return version.output, metrics.output


def _compared(
    program: Program, plan: Output, trained: dict[str, tuple[Output, Output]], baseline_metrics: Output
) -> Output:
    prefixes = {"": OWN, **{name: challenger_prefix(name) for name in program.personalize.challengers}}
    versions = {name: trained[prefix][0] for name, prefix in prefixes.items()}
    metrics = {name: trained[prefix][1] for name, prefix in prefixes.items()}
    return compare(program.name, plan, versions, metrics, baseline_metrics)


@task
def import_jobs(program: str, plan: dict[str, Any], dataset_arns: dict[str, str]) -> list[dict[str, str]]:
    """Say which import jobs the plan pays for."""
    from recsync.training import train

    must_hold(program)
    return train.import_jobs(program, plan, dataset_arns)


@task(multiple_outputs=False)
def version_names(program: str, plan: dict[str, Any]) -> dict[str, str]:
    """Name the solution versions that the plan pays for."""
    from recsync.training import train

    must_hold(program)
    return train.version_names(program, plan)


@task
def record_imports(program: str, plan: dict[str, Any]) -> None:
    """Note that the import jobs are ACTIVE."""
    from recsync.training import train

    train.record_imports(program, plan)


# A challenger whose training failed must not keep the others from being compared; a run that is skipped compares none.
@task(multiple_outputs=True, trigger_rule="none_skipped")
def compare(
    program: str,
    plan: dict[str, Any],
    versions: dict[str, str | None],
    metrics: dict[str, dict[str, float] | None],
    baseline_metrics: dict[str, float] | None,
) -> dict[str, Any]:
    """Put the program's own solution and its challengers side by side."""
    from recsync.evaluation import compare

    return compare.compare(program, plan["run"], versions, metrics, baseline_metrics)
