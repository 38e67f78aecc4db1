"""Booking what tasks paid for, and what nobody booked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsync.airflow_tasks import task

if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True)
class BookTraining:
    """Book the solution version whose metrics a task read: a success callback, so it fails no task.

    :param program: name of the program.
    """

    program: str

    def __call__(self, context: Context) -> None:
        """Book it."""
        from recsync.context import StageContext
        from recsync.costs.usage import book

        book(StageContext.of(self.program), getattr(context["task"], "solution_version_arn", None))


@task
def book(program: str) -> int:
    """Book what runs used that were killed before they could, while what tells its size is still there."""
    from recsync.books.reconcile import reconcile
    from recsync.context import StageContext

    return reconcile(StageContext.of(program))
