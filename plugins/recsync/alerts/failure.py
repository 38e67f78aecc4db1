"""Tell people of a task that failed for good: the callback of every task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import ClientError

from airflow_personalize.errors import DriftError
from recsync.alerts.send import send
from recsync.errors import (
    DELIBERATE,
    FATAL,
    RETRIABLE,
    BudgetExceededError,
    ProgramError,
    PromotionRefusedError,
)
from recsync.program import Event, Program

if TYPE_CHECKING:
    from airflow.sdk import Context

_EVENTS: dict[type[BaseException], Event] = {
    PromotionRefusedError: Event.PROMOTION_REFUSED,
    BudgetExceededError: Event.BUDGET_STOPPED,
    DriftError: Event.DRIFT,
}
# Beside the error's own words; the first class that fits counts.
_TO_DO: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (ProgramError, "Mend the program file; `make check` lists every problem. Then clear the task."),
    (
        PromotionRefusedError,
        "Nothing has to be done at once: the former champion stays and recommendations go on from it. Look at the "
        "figures and at what changed in the data; the next full training is judged anew.",
    ),
    (
        BudgetExceededError,
        "Nothing of the step was begun. Raise the budget in the program file and clear the task, or wait for the next "
        "month.",
    ),
    (
        DriftError,
        "Somebody changed the resource or the program file. Bring one in line with the other, then clear the task.",
    ),
    (FATAL, "Trying again does not help before that is changed. Then clear the task."),
    (
        RETRIABLE,
        "Every try failed. Look at the service's status page; clear the task when it is well again.",
    ),
)
_ELSE = "Read the log, mend the cause, then clear the task: every task can be repeated."
_KILLED = "The task's process ended without an error: killed, out of memory, or its worker was lost."
# Errors whose text is written by us, by Airflow or by AWS about their resources. Anything else, such as what a
# database driver says, may hold a row: only its class leaves the house.
_SPEAKING = (*DELIBERATE, AirflowException, ClientError)


class FailureNotifier(BaseNotifier):
    """Tell the program's destinations that a task failed and is not tried again.

    Given to every task as ``on_failure_callback``. Airflow calls it in the task's process, or in the DAG processor
    when that process is gone.
    """

    def __init__(self, program: Program, stage: str) -> None:
        super().__init__()
        self.program = program
        self.stage = stage

    def notify(self, context: Context) -> None:
        """Classify the error and tell."""
        error = context.get("exception")
        event, subject, text = told(self.stage, context["ti"], error)
        send(self.program, event, subject, text)


def told(stage: str, ti: Any, error: BaseException | str | None) -> tuple[Event, str, str]:
    """Say what happened to a task instance: event, subject and text.

    :param error: what the task raised; None when its process is gone.
    """
    cause = root(error) if isinstance(error, BaseException) else None
    event = next((event for kind, event in _EVENTS.items() if isinstance(cause, kind)), Event.FAILURE)
    to_do = next((text for kind, text in _TO_DO if isinstance(cause, kind)), _ELSE)
    lines = (
        f"What happened: {_what(cause)}",
        f"What to do: {to_do}",
        f"Where: task {ti.task_id} of DAG {ti.dag_id}, run {ti.run_id}, try {ti.try_number}",
        f"Log: {_log_url(ti)}",
    )
    return event, f"{stage} {_outcome(event)} ({ti.task_id})", "\n".join(lines)


def root(error: BaseException) -> BaseException:
    """Find the error of ours behind what a task raised; what was raised when there is none."""
    return next((each for each in _chain(error) if isinstance(each, DELIBERATE)), error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def _what(cause: BaseException | None) -> str:
    if cause is None:
        return _KILLED
    if isinstance(cause, _SPEAKING):
        return f"{cause}" or type(cause).__name__
    return f"{type(cause).__name__}; its text may hold data and stands only in the log."


def _outcome(event: Event) -> str:
    return {
        Event.PROMOTION_REFUSED: "refused a solution version",
        Event.BUDGET_STOPPED: "stopped at the budget",
        Event.DRIFT: "stopped at a resource that was changed",
    }.get(event, "failed")


def _log_url(ti: Any) -> str:
    # Only a running task's instance knows it.
    return str(getattr(ti, "log_url", "")) or "see the task in the Airflow UI"
