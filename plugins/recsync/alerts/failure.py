"""Send an alert when a task failed and is not retried: the failure callback of every task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import ClientError

from airflow_personalize.errors import DriftError
from recsync.alerts.message import send
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
_OUTCOMES = {
    Event.PROMOTION_REFUSED: "refused a solution version",
    Event.BUDGET_STOPPED: "stopped at the budget",
    Event.DRIFT: "stopped at a resource that was changed",
}
# What to do, added to the error's own text; the first matching class counts.
_TO_DO: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (ProgramError, "Correct the program file; `make check` lists every problem. Then clear the task."),
    (
        PromotionRefusedError,
        "Nothing has to be done at once: the former champion stays and recommendations go on from it. Look at the "
        "metrics and at what changed in the data; the next full training is evaluated again.",
    ),
    (
        BudgetExceededError,
        "Nothing of the step was started. Raise the budget in the program file and clear the task, or wait for the "
        "next month.",
    ),
    (
        DriftError,
        "Somebody changed the resource or the program file. Bring one in line with the other, then clear the task.",
    ),
    (FATAL, "A retry does not help before that is changed. Then clear the task."),
    (
        RETRIABLE,
        "Every try failed. Look at the service's status page; clear the task when the service has recovered.",
    ),
)
_ELSE = "Read the log, remove the cause, then clear the task: every task can be repeated."
_KILLED = "The task's process ended without an error: killed, out of memory, or its worker was lost."
# Errors with texts of recsync, Airflow or AWS about their own resources. The text of any other error, such as a
# database driver's, may hold a row, so only its class is sent.
_SAFE_TEXTS = (*DELIBERATE, AirflowException, ClientError)


class FailureNotifier(BaseNotifier):
    """Send an alert about a failed task.

    Airflow calls it in the task's process, or in the DAG processor when that process is gone.
    """

    def __init__(self, program: Program, stage: str) -> None:
        super().__init__()
        self.program = program
        self.stage = stage

    def notify(self, context: Context) -> None:
        """Classify the error and send the alert."""
        event, subject, text = describe_failure(self.stage, context["ti"], context.get("exception"))
        send(self.program, event, subject, text)


def describe_failure(stage: str, ti: Any, error: BaseException | str | None) -> tuple[Event, str, str]:
    """Return event, subject and text of a failure.

    :param error: raised by the task; None when its process is gone.
    """
    cause = _root(error) if isinstance(error, BaseException) else None
    event = next((event for kind, event in _EVENTS.items() if isinstance(cause, kind)), Event.FAILURE)
    to_do = next((text for kind, text in _TO_DO if isinstance(cause, kind)), _ELSE)
    if cause is None:
        what = _KILLED
    elif isinstance(cause, _SAFE_TEXTS):
        what = str(cause) or type(cause).__name__
    else:
        what = f"{type(cause).__name__}; its text may hold data and is only in the log."
    lines = (
        f"What happened: {what}",
        f"What to do: {to_do}",
        f"Where: task {ti.task_id} of DAG {ti.dag_id}, run {ti.run_id}, try {ti.try_number}",
        # Only the instance of a running task has a URL.
        f"Log: {getattr(ti, 'log_url', '') or 'see the task in the Airflow UI'}",
    )
    return event, f"{stage} {_OUTCOMES.get(event, 'failed')} ({ti.task_id})", "\n".join(lines)


def _root(error: BaseException) -> BaseException:
    """Return the first error of recsync in the chain of causes; the error itself when there is none."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        if isinstance(found, DELIBERATE):
            return found
        seen.add(id(found))
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return error
