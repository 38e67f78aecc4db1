"""Ask a person whether a solution version becomes champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from recsync.airflow_tasks import WithholdsRecords

if TYPE_CHECKING:
    from airflow.sdk import Context


class ApprovePromotionOperator(WithholdsRecords, ApprovalOperator):
    """Show the figures, and wait for a person without a worker slot; no answer in time is a rejection.

    https://airflow.apache.org/docs/apache-airflow-providers-standard/stable/operators/hitl.html

    :param program: name of the program.
    :param judged: what the judging task returned. (templated)
    :return: ``by``, who approved.
    """

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "judged")

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
        """Ask."""
        from recsync.context import StageContext
        from recsync.costs.budget import next_steps

        self.body = "\n\n".join(
            (
                f"{self.judged['candidate']['solution_version_arn']} passes the gate. The champion is "
                f"{self.judged['champion']}.",
                self.judged["table"],
                next_steps(StageContext.of(self.program)),
            )
        )
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Pass on who approved; a rejection is kept in the history, and skips the promotion."""
        from recsync.evaluation.promotion import reject

        by = str((event.get("responded_by_user") or {}).get("name") or "")
        if event.get("chosen_options") == [self.REJECT]:
            self.log.info(reject(self.program, self.judged, by))
        super().execute_complete(context, event)
        return {"by": by}
