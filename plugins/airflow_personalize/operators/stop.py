"""Stop a training that is under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.links.personalize import PersonalizeSolutionVersionLink
from airflow_personalize.operators.base import PersonalizeBaseOperator
from airflow_personalize.resources import SOLUTION_VERSION
from airflow_personalize.triggers.personalize import PersonalizeSolutionVersionStoppedTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeStopSolutionVersionCreationOperator(PersonalizeBaseOperator):
    """Stop a training; wait until it has ended. What it used is billed, and it cannot be resumed.

    One that has ended, in whatever way, is no error and is left as it is.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_StopSolutionVersionCreation.html

    :param solution_version_arn: ARN of the solution version.
    """

    resource = SOLUTION_VERSION
    trigger_class = PersonalizeSolutionVersionStoppedTrigger
    link_class = PersonalizeSolutionVersionLink
    operator_extra_links = (PersonalizeSolutionVersionLink(),)
    template_fields: Sequence[str] = aws_template_fields("solution_version_arn")

    def __init__(self, *, solution_version_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.solution_version_arn = solution_version_arn

    def execute(self, context: Context) -> str:
        """Stop, wait."""
        arn = self.solution_version_arn
        stopping = self.hook.stop_if_running(arn)
        self.persist_link(context, arn)
        if stopping:
            self.await_end(arn)
        return arn

    def dataset_group_arn_for_link(self) -> str:
        """Ask for the dataset group of the version's solution."""
        return self.hook.dataset_group_of_version(self.solution_version_arn)
