"""The task groups of the training DAGs: import, train, evaluate and promote; stream; and tune."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import Context, get_current_context

from airflow_personalize.operators.events import TRACKING_ID_KEY
from airflow_personalize.operators.jobs import (
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateSolutionVersionOperator,
    PersonalizeGetSolutionMetricsOperator,
)
from airflow_personalize.operators.resources import PersonalizeCreateSolutionOperator
from recsync.airflow_tasks import WithholdsRecords, task
from recsync.dag_kit import asset, imported_asset, streamed_asset
from recsync.notes import PageLink, link_to, note
from recsync.program import DatasetType, Program, names
from recsync.task_groups.lock import WAIT_FOR_EVENTS, AssertLock, assert_lock
from recsync.task_groups.setup import Output, Resources
from recsync.training.solutions import BASELINE, OWN, SEGMENT, compared_prefixes, searching

PLAN = "{{ ti.xcom_pull(task_ids='plan')['%s'] }}"
VERSION = "{{ ti.xcom_pull(task_ids='version_names')['%s'] }}"
_TRACKING_ID = f"{{{{ ti.xcom_pull(task_ids='setup.event_tracker', key='{TRACKING_ID_KEY}') }}}}"
_READY_AT = "{{ ti.xcom_pull(task_ids='stream')['ready_at'] }}"


def train(program: Program, plan: Output, resources: Resources, training_mode: str, after: Output) -> None:
    """Import what the plan names, train, read the metrics, and promote a version that passes the gate.

    A program over the data of another one imports nothing: it trains on what the owner imported. An UPDATE trains the
    solution that the plan names, the champion's own.

    :param after: task after which the rows to import are published.
    """
    versions: Output = version_names(program.name, plan)
    after >> versions
    recorded = versions if program.data else _import(program, plan, resources, training_mode, after, versions)
    if training_mode == "UPDATE":
        version, metrics = _train_one(program, OWN, PLAN % "solution_arn", "UPDATE", recorded)
        _promote_version(program, training_mode, version, metrics, None, None)
        return
    _train_full(program, plan, resources, recorded)


def _import(
    program: Program, plan: Output, resources: Resources, training_mode: str, after: Output, versions: Output
) -> Output:
    jobs: Output = import_jobs(program.name, plan, resources.datasets)
    after >> jobs
    if resources.metric_attribution is not None:
        # Rows that are imported before it exists are never counted.
        resources.metric_attribution >> jobs
    imports = PersonalizeCreateDatasetImportJobOperator.partial(
        task_id="import",
        aws_conn_id=program.aws,
        pre_execute=AssertLock(program.name, imports=True),
        map_index_template="{{ task.dataset_arn.rsplit('/', 1)[-1] }}",
    ).expand_kwargs(jobs)
    # A FULL run with only unchanged datasets imports nothing, and still trains.
    recorded: Output = record_imports.override(
        trigger_rule="none_failed_min_one_success", outlets=[imported_asset(program, training_mode)]
    )(program.name, plan)
    [imports, versions] >> recorded
    return recorded


def _train_full(program: Program, plan: Output, resources: Resources, recorded: Output) -> None:
    training_mode = "FULL"
    trained = {
        prefix: _train_one(program, prefix, solution, "FULL", recorded)
        for prefix, solution in resources.solutions.items()
    }
    version, metrics = trained[OWN]
    segment_version, _ = trained.get(SEGMENT, (None, None))
    _, baseline_metrics = trained.get(BASELINE, (None, None))
    if program.personalize.challengers:
        prefixes = compared_prefixes(program)
        candidates = {name: trained[prefix][0] for name, prefix in prefixes.items()}
        figures = {name: trained[prefix][1] for name, prefix in prefixes.items()}
        chosen = compare(program.name, plan, candidates, figures, baseline_metrics)
        if program.personalize.promote_best:
            version, metrics = chosen["solution_version_arn"], chosen["metrics"]
    _promote_version(program, training_mode, version, metrics, baseline_metrics, segment_version)


def _train_one(
    program: Program, prefix: str, solution: Output, training_mode: str, after: Output
) -> tuple[Output, Output]:
    version: Any = PersonalizeCreateSolutionVersionOperator(
        task_id=f"{prefix}solution_version",
        solution_version_name=VERSION % f"{prefix}solution_version",
        solution_arn=solution,
        training_mode=training_mode,
        aws_conn_id=program.aws,
        pre_execute=AssertLock(program.name),
    )
    after >> version
    metrics = PersonalizeGetSolutionMetricsOperator(
        task_id=f"{prefix}metrics",
        solution_version_arn=version.output,
        aws_conn_id=program.aws,
        on_success_callback=RecordTraining(program.name),
    )
    return version.output, metrics.output


def _promote_version(
    program: Program,
    training_mode: str,
    version: Output,
    metrics: Output,
    baseline_metrics: Output,
    segment_version: Output,
) -> None:
    """Evaluate a version, and promote it when it passes; a new champion starts recommend."""
    judged: Output = judge(program.name, training_mode, version, metrics, baseline_metrics, segment_version)
    answer: Output = None
    if program.gate.asks_a_person(training_mode):
        answer = ApprovePromotionOperator(
            task_id="approve",
            program=program.name,
            judged=judged,
            response_timeout=timedelta(hours=program.gate.approval_hours),
        ).output
    starts_recommend = training_mode == "FULL" or program.schedules.recommend_after_update
    outlets = [asset(program, "champion")] if starts_recommend else []
    promote.override(outlets=outlets)(program.name, judged, answer)


def stream(program: Program, plan: Output, resources: Resources) -> None:
    """Stream what the plan names (``update_by: events``); when batch jobs consider it, start the recommend runs."""
    owners = {**resources.datasets, DatasetType.INTERACTIONS.value: _TRACKING_ID}
    streamed: Output = stream_rows.override(task_id="stream")(program.name, plan, owners)
    [resources.event_tracker, *resources.datasets.values()] >> streamed
    if resources.metric_attribution is not None:
        # Rows that are streamed before it exists are never counted.
        resources.metric_attribution >> streamed
    # Without a worker slot, and without the lock: see task_groups/lock.py.
    waited = DateTimeSensorAsync(task_id=WAIT_FOR_EVENTS, target_time=_READY_AT)
    streamed >> waited >> announce.override(outlets=[streamed_asset(program)])(streamed)


def tune(program: Program, plan: Output, resources: Resources) -> None:
    """Train a version that searches for hyperparameters, and pin the winners unless they are worse."""
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
    # A solution's columns are checked against the existing datasets.
    list(resources.datasets.values()) >> solution
    name: Output = version_name(program.name, plan)
    solution >> name
    version: Output = PersonalizeCreateSolutionVersionOperator(
        task_id="solution_version",
        solution_version_name=name,
        solution_arn=solution,
        aws_conn_id=program.aws,
        pre_execute=AssertLock(program.name),
    ).output
    metrics: Output = PersonalizeGetSolutionMetricsOperator(
        task_id="metrics",
        solution_version_arn=version,
        aws_conn_id=program.aws,
        on_success_callback=RecordTraining(program.name),
    ).output
    pin(program.name, version, metrics)


class ApprovePromotionOperator(WithholdsRecords, ApprovalOperator):
    """Show the figures, and wait for a person without a worker slot; no answer in time is a rejection.

    https://airflow.apache.org/docs/apache-airflow-providers-standard/stable/operators/hitl.html

    :param program: name of the program.
    :param judged: what the task ``judge`` returned. (templated)
    :return: ``by``, who approved.
    """

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "judged")
    operator_extra_links = (PageLink(),)

    def __init__(self, *, program: str, judged: Any, **kwargs: Any) -> None:
        super().__init__(
            subject=f"Make this solution version the champion of {program}?",
            body="",
            defaults="Reject",
            **kwargs,
        )
        self.program = program
        self.judged = judged

    def execute(self, context: Context) -> Any:
        """Ask the person."""
        from recsync.context import StageContext
        from recsync.costs.budget import cost_after_promotion

        link_to(f"/models/{self.program}")
        self.body = "\n\n".join(
            (
                f"{self.judged['candidate']['solution_version_arn']} passes the gate. The champion is "
                f"{self.judged['champion']}.",
                self.judged["table"],
                cost_after_promotion(StageContext.of(self.program)),
            )
        )
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Pass on who approved; a rejection is recorded, and skips the promotion."""
        from recsync.evaluation.promotion import reject

        by = str((event.get("responded_by_user") or {}).get("name") or "")
        if event.get("chosen_options") == [self.REJECT]:
            note(reject(self.program, self.judged, by).rstrip("."))
        super().execute_complete(context, event)
        return {"by": by}


@dataclass(frozen=True)
class RecordTraining:
    """Record the cost of a solution version after its metrics were read: a success callback, which fails no task."""

    program: str

    def __call__(self, context: Context) -> None:
        """Record it."""
        from recsync.context import StageContext
        from recsync.costs.usage import record_usage

        record_usage(StageContext.of(self.program), getattr(context["task"], "solution_version_arn", None))


@task
def import_jobs(program: str, plan: dict[str, Any], dataset_arns: dict[str, str]) -> list[dict[str, Any]]:
    """Register the import jobs that the plan pays for."""
    from recsync.training import train

    assert_lock(program)
    return train.import_jobs(program, plan, dataset_arns)


@task(multiple_outputs=False)
def version_names(program: str, plan: dict[str, Any]) -> dict[str, str]:
    """Name the solution versions that the plan pays for."""
    from recsync.training import shared, train

    assert_lock(program)
    # Only a plan of shared data says what the datasets hold.
    return shared.version_names(program, plan) if "content" in plan else train.version_names(program, plan)


@task
def record_imports(program: str, plan: dict[str, Any]) -> None:
    """Mark the import jobs as done."""
    from recsync.training import train

    train.record_imports(program, plan)


# The other versions are compared also when the training of a challenger failed.
@task(multiple_outputs=True, has_page=True, trigger_rule="none_skipped")
def compare(
    program: str,
    plan: dict[str, Any],
    versions: dict[str, str | None],
    metrics: dict[str, dict[str, float] | None],
    baseline_metrics: dict[str, float] | None,
) -> dict[str, Any]:
    """Put the program's own solution and its challengers side by side."""
    from recsync.context import StageContext
    from recsync.evaluation import comparison
    from recsync.training.tuning import compared_solutions

    solutions = compared_solutions(StageContext.of(program))
    link_to(f"/models/{program}")
    return comparison.compare(program, plan["run"], solutions, versions, metrics, baseline_metrics)


@task(multiple_outputs=False, has_page=True)
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
    # Before it: a version that does not pass ends in an error.
    note(promotion.beside(program, metrics, baseline_metrics), page=f"/models/{program}")
    return promotion.evaluate_version(
        program,
        run_id,
        solution_version_arn,
        training_mode,
        metrics,
        baseline_metrics,
        segment_version_arn,
    )


@task(multiple_outputs=False, has_page=True)
def promote(program: str, judged: dict[str, Any], answer: dict[str, Any] | None) -> dict[str, Any]:
    """Make the version the champion, which starts recommend."""
    from recsync.evaluation import promotion

    context = get_current_context()
    champion = promotion.promote(program, judged, approved_by=(answer or {}).get("by", ""))
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = champion
    note(f"{promotion.short(champion['solution_version_arn'])} is champion", page=f"/models/{program}")
    return champion


@task
def version_name(program: str, plan: dict[str, Any]) -> str:
    """Name the solution version that the search pays for."""
    from recsync.training import tuning

    assert_lock(program)
    return tuning.version_name(program, plan)


@task(multiple_outputs=False)
def pin(program: str, solution_version_arn: str, metrics: dict[str, float]) -> dict[str, Any]:
    """Pin the winners into later FULL trainings, unless they are worse than the champion."""
    from recsync.training import tuning

    run_id = get_current_context()["dag_run"].run_id
    found = tuning.conclude(program, run_id, solution_version_arn, metrics)
    note(f"hyperparameters {found['outcome']}: {found['reason'].rstrip('.')}")
    return found


@task(multiple_outputs=False)
def stream_rows(program: str, plan: dict[str, Any], owners: dict[str, str]) -> dict[str, Any]:
    """Stream the rows that the plan took; no import job, and no training."""
    from datetime import UTC, datetime, timedelta

    from recsync.context import StageContext
    from recsync.imports import streaming

    assert_lock(program)
    found = streaming.stream(program, plan, owners)
    figures = {kind.folder: each.rows for kind, each in found.items()}
    refused = sum(each.refused for each in found.values())
    counts = ", ".join(f"{rows:,} {dataset}" for dataset, rows in figures.items())
    note(f"streamed {counts or 'nothing'}" + (f"; {refused:,} rows refused" if refused else ""))
    wait = timedelta(minutes=StageContext.of(program).program.personalize.streaming.wait_minutes)
    return {"ready_at": (datetime.now(UTC) + wait).isoformat(), "rows": figures, "refused": refused}


@task
def announce(streamed: dict[str, Any]) -> None:
    """Announce the rows to recommend by an asset event."""
    context = get_current_context()
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = streamed
