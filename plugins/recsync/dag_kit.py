"""What all DAG files share: one DAG per stage and program, schedules, the preflight, broken program files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import (
    DAG,
    Asset,
    AssetAll,
    AssetAny,
    AssetOrTimeSchedule,
    Param,
    get_current_context,
)
from airflow.sdk.definitions.asset import AssetUriRef
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import InletEventsAccessor

from recsync import settings
from recsync.airflow_tasks import RETRY_POLICY, guarded, task
from recsync.alerts.failure import FailureNotifier
from recsync.alerts.late import deadline
from recsync.notes import note
from recsync.program import DatasetType, Program
from recsync.program.files import experiment_problems, missing_programs, read_programs, shared_problems
from recsync.stages import BY_NAME, POOLS
from recsync.task_priority import BACKFILLS_LAST
from recsync.timetables import interval_timetable, trigger_timetable

log = logging.getLogger(__name__)

DEFAULT_ARGS = {
    "owner": "recsync",
    # Every task may be repeated, after a killed worker or an error of a busy service.
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": RETRY_POLICY,
}


def schedule(program: Program, stage: str, *assets: Asset) -> Any:
    """Schedule runs at the ticks of a stage's cron, on each event of the assets, and after its upstream assets.

    Events during a run start one run together, so an event only says that there is work; each run reads from S3 what.
    A plain asset schedule ignores events with a partition key, and a run passes its key on to the events of its tasks;
    no DAG here has partitions, so Airflow refuses keys for them.
    """
    cron = program.schedules.of(stage)
    # Exports have intervals, so that backfills do.
    timetable = interval_timetable if stage == "export" else trigger_timetable
    due = timetable(cron) if cron else None
    # A list of assets would wait for an event of each of them.
    events: Any = AssetAny(*assets) if len(assets) > 1 else list(assets)
    if uris := program.schedules.after(stage):
        events = AssetAny(*assets, AssetAll(*(upstream_asset(uri) for uri in uris)))
    if due and events:
        return AssetOrTimeSchedule(timetable=due, assets=events)
    return due or events or None


def upstream_asset(uri: str) -> AssetUriRef:
    """Refer to an asset of another DAG, whatever its name is there.

    An asset of our own with the same URI and another name would be a conflict, and Airflow would drop one of them.
    """
    return Asset.ref(uri=Asset(name="upstream", uri=uri).uri)


def start_once(dag: DAG, program: Program, stage: str) -> None:
    """Put the check of the deadline before the other tasks of a DAG, if the stage has upstream assets and a cron."""
    uris = program.schedules.after(stage)
    if not uris or not program.schedules.of(stage):
        return
    others = dag.roots
    # Not a skipping task: those of the rule none_failed would run after it.
    unless_upstream = ShortCircuitOperator(
        task_id="unless_upstream",
        python_callable=guarded(unless_upstream_came),
        op_kwargs={"program": program.name, "stage": stage},
    )
    for other in others:
        unless_upstream >> other


def unless_upstream_came(program: str, stage: str) -> bool:
    """Return False in a run of the deadline if all upstream assets were updated since the deadline before."""
    context = get_current_context()
    run = context["dag_run"]
    if run.run_type != "scheduled":
        return True
    schedules = settings.program(program).schedules
    cron, tick = schedules.of(stage), context.get("data_interval_end") or run.run_after
    since = next(cron.before(tick)) if cron else tick
    # Airflow 3.3.2 does not note which runs an event started when a DAG names its assets by URI.
    missing = [uri for uri in schedules.after(stage) if not _was_updated(uri, since, tick)]
    if missing:
        log.info("Not updated since %s, so this is the deadline: %s", since, ", ".join(missing))
    else:
        log.info(
            "Upstream was updated since %s and started its run; the deadline of %s needs none.", since, tick
        )
    return bool(missing)


def _was_updated(uri: str, since: datetime, until: datetime) -> bool:
    """Return whether an asset had an event that starts runs: one without a partition key."""
    events = upstream_events(uri).after(since.isoformat()).before(until.isoformat())
    return any(event.partition_key is None for event in events)


def upstream_events(uri: str) -> InletEventsAccessor:
    """Return the events of an asset of another DAG, which need not exist yet."""
    return InletEventsAccessor(asset_uri=Asset(name="upstream", uri=uri).uri)


def programs(stage: str, dag_file: str) -> Iterator[Program]:
    """Yield every sound program that has the stage; for a broken one, make a DAG of this stage that shows the mistakes.

    Programs that write to the same attribute or catalog get a broken push DAG. A program with rules about a missing
    program, or with an experiment that conflicts with another one, gets a broken recommend DAG. Their other stages go
    on, above all exports and erasures; ``preflight`` stops work that would be billed.

    :param dag_file: the DAG file; ``include/`` beside its folder is used here and by its tasks.
    """
    settings.use_include_beside(dag_file)
    include = settings.include_folder()
    sound, broken = read_programs(include)
    problems: dict[str, Sequence[str]] = {name: error.problems for name, error in broken.items()}
    between = {"push": (shared_problems,), "recommend": (missing_programs, experiment_problems)}
    for find in between.get(stage, ()):
        for name, more in find(sound, include).items():
            problems[name] = [*problems.get(name, ()), *more]
    for name, found in problems.items():
        _broken_dag(name, stage, "\n".join(found))
    yield from (
        program for name, program in sound.items() if name not in problems and program.has_stage(stage)
    )


def stage_dag(program: Program, stage: str, *, schedule: Any, doc_md: str | None, **kwargs: Any) -> DAG:
    """Make the DAG of one stage and program, for a ``with`` block."""
    return DAG(
        dag_id=f"{program.name}_{stage}",
        schedule=schedule,
        doc_md="\n\n".join(text for text in (program.description, doc_md) if text),
        tags=["recsync", program.name, stage, *_shared_tags(program)],
        catchup=False,
        default_args=_default_args(program, stage),
        deadline=deadline(program, stage),
        **{"max_active_runs": 1, **kwargs},
    )


def _shared_tags(program: Program) -> list[str]:
    """Tag the DAGs of a program that uses the data, or the model, of another one."""
    shared = {"data": program.data, "model": program.personalize.model}
    return [f"{what}: {owner}" for what, owner in shared.items() if owner]


def optional_text(description: str, **schema: Any) -> Param:
    """Make a parameter that may stay empty; it is then None.

    Unless null is allowed, the trigger form takes an empty text for a missing one and disables its button.
    """
    return Param(None, type=["null", "string"], description=description, **schema)


def _default_args(program: Program, stage: str) -> dict[str, Any]:
    arguments = {
        **DEFAULT_ARGS,
        **_scheduling(stage),
        "execution_timeout": program.task_timeout_hours.of(stage),
    }
    if limit := program.deadline_hours.of(stage):
        # Read only by operators that create jobs of Amazon Personalize.
        arguments["quota_timeout"] = limit
    if program.alerts:
        arguments["on_failure_callback"] = FailureNotifier(program, stage)
    return arguments


def _scheduling(stage: str) -> dict[str, Any]:
    """Return the priority, pool, pod template and concurrency of a stage's tasks, from the table of stages.

    Pools and pod templates are named only if the deployment has them: a task in a missing pool never starts.
    """
    row = BY_NAME[stage]
    found: dict[str, Any] = {"priority_weight": row.weight, "weight_rule": BACKFILLS_LAST}
    if row.tasks_at_once:
        found["max_active_tis_per_dag"] = row.tasks_at_once
    if row.pool and settings.has_pools():
        found["pool"] = row.pool
    template = settings.heavy_pod_template()
    if template and row.pool and POOLS[row.pool].heavy:
        # A name that other executors ignore; nothing of Kubernetes is imported.
        found["executor_config"] = {"pod_template_file": template}
    return found


def asset(program: Program, kind: str) -> Asset:
    """Return the asset that one stage hands to the next.

    :param kind: ``exports``, ``champion``, ``drift``, ``streamed``, ``recommendations`` or ``deliveries``.
    """
    return Asset(name=f"{program.name}_{kind}", uri=f"recsync://{program.name}/{kind}")


def imported_asset(program: Program, training_mode: str) -> Asset:
    """Return the asset that starts the trainings of programs over the same data, after an import of their owner's."""
    return asset(program, f"{training_mode.lower()}_import")


def streamed_asset(program: Program) -> Asset:
    """Return the asset that starts recommend runs once batch jobs consider newly streamed rows of their data."""
    return asset(program.data_owner, "streamed")


def streamed_row_assets(program: Program) -> list[Asset]:
    """Return the asset of streamed rows if ``recommend`` follows updates and its recipe considers events."""
    owner = program.model_owner
    follows = owner.schedules.recommend_after_update and owner.personalize.recipe_spec.considers_events
    return [streamed_asset(program)] if program.streams and follows else []


def interactions_last(exported: Mapping[str, Any]) -> None:
    """Export interactions after users and items, as the checks compare their ids.

    :param exported: dataset type -> the task that exports it, or its output.
    """
    for kind, before in exported.items():
        if kind != DatasetType.INTERACTIONS and DatasetType.INTERACTIONS in exported:
            before >> exported[DatasetType.INTERACTIONS]


def check_first(dag: DAG, program: Program) -> None:
    """Put the preflight before the other tasks of a DAG, which must all exist already."""
    others = dag.roots
    checked = preflight(program.name)
    for other in others:
        checked >> other


@task
def preflight(program: str) -> str:
    """Check what the run needs before anything is billed, as ``make preflight`` does."""
    from recsync.preflight.run import preflight as check

    found = check(program)
    note(found.rstrip("."), of_run=False)
    return found


def _broken_dag(name: str, stage: str, problems: str) -> None:
    with DAG(
        dag_id=f"{name}_{stage}",
        schedule=None,
        doc_md=f"**The program file must be corrected; this DAG does nothing until then.**\n\n```\n{problems}\n```",
        tags=["recsync", name, stage, "broken"],
    ):

        @task(retries=0)
        def read_program_file() -> None:
            raise AirflowFailException(problems)

        read_program_file()
