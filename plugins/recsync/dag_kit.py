"""What all DAG files share: one DAG per stage and program, and what becomes of a broken program file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, Param
from airflow.sdk.exceptions import AirflowFailException

from recsync import settings
from recsync.airflow_errors import RETRY_POLICY
from recsync.airflow_tasks import task
from recsync.alerts.failure import FailureNotifier
from recsync.alerts.late import deadline
from recsync.program import DatasetType, Program
from recsync.program.files import read_programs, shared_problems

DEFAULT_ARGS = {
    "owner": "recsync",
    # A task killed with its worker or refused by a busy service is tried again; every task may be repeated.
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    # An error that no retry can help fails the task at once; a time that a service named is waited for.
    "retry_policy": RETRY_POLICY,
}


def cron_trigger(cron: str | None) -> CronTriggerTimetable | None:
    """Schedule runs at the ticks of a cron expression in UTC, beginning with the next one.

    Airflow starts the tick that is past when a DAG has a start date, or when its last tenth is not over; the first
    unpause of a weekly training must start none, so the DAGs have no start date and the grace is zero.
    """
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta()) if cron else None


def schedule(cron: str | None, *assets: Asset) -> Any:
    """Schedule runs at the ticks of a cron expression, and whenever one of the assets has an event.

    Events without partition keys start a run each, but those that come while a run is active start one together. So
    an event says only that there is something to do; what, each run finds out on S3.

    No DAG here has partitions. A run with a partition key hands it to every event of its tasks, and a plain asset
    schedule takes no event with a key; Airflow refuses a key for a DAG without partitions, so none can have one.
    """
    due = cron_trigger(cron)
    if due and assets:
        return AssetOrTimeSchedule(timetable=due, assets=list(assets))
    return due or list(assets) or None


def programs(stage: str) -> Iterator[Program]:
    """Yield every sound program; a broken one gets, for this stage, a DAG that says what is wrong.

    Of programs that write to the same attribute or catalog, none may write: which of them was first, the files do not
    say. Their other stages go on, exports and erasures above all; ``preflight`` stops what would be billed.
    """
    include = settings.include_folder()
    sound, broken = read_programs(include)
    shared = shared_problems(sound, include) if stage == "push" else {}
    problems = {name: error.problems for name, error in broken.items()} | shared
    for name, found in problems.items():
        _broken_dag(name, stage, "\n".join(found))
    yield from (program for name, program in sound.items() if name not in problems)


def stage_dag(program: Program, stage: str, *, schedule: Any, doc_md: str | None, **kwargs: Any) -> DAG:
    """Make the DAG of one stage and program, to be used in a ``with`` block."""
    return DAG(
        dag_id=f"{program.name}_{stage}",
        schedule=schedule,
        doc_md="\n\n".join(text for text in (program.description, doc_md) if text),
        tags=["recsync", program.name, stage],
        catchup=False,
        default_args=_default_args(program, stage),
        deadline=deadline(program, stage),
        **{"max_active_runs": 1, **kwargs},
    )


def optional_text(description: str, **schema: Any) -> Param:
    """Make a parameter that may stay empty; it then is None.

    The trigger form takes an empty text for a missing one, unless null is allowed, and disables its button.
    """
    return Param(None, type=["null", "string"], description=description, **schema)


def _default_args(program: Program, stage: str) -> dict[str, Any]:
    """Give a stage's tasks their time limits, and the call to people when one fails for good."""
    arguments = {**DEFAULT_ARGS, "execution_timeout": program.task_timeout_hours.of(stage)}
    if (hours := program.deadline_hours.of(stage)) is not None:
        # Only operators that create jobs of Amazon Personalize know it.
        arguments["quota_timeout"] = timedelta(hours=hours)
    if program.alerts:
        arguments["on_failure_callback"] = FailureNotifier(program, stage)
    return arguments


def asset(program: Program, kind: str) -> Asset:
    """Name what one stage hands to the next: ``exports``, ``champion``, ``drift`` or ``recommendations``."""
    return Asset(name=f"{program.name}_{kind}", uri=f"recsync://{program.name}/{kind}")


def interactions_last(exported: Mapping[str, Any]) -> None:
    """Export interactions after users and items, whose ids they are checked against.

    :param exported: dataset type -> the task that exports it, or its output.
    """
    for kind, before in exported.items():
        if kind != DatasetType.INTERACTIONS and DatasetType.INTERACTIONS in exported:
            before >> exported[DatasetType.INTERACTIONS]


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
