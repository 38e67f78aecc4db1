"""Delete a dataset group, alone or with all it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.hooks.personalize_contents import steps
from airflow_personalize.operators.base import PersonalizeBaseOperator
from airflow_personalize.resource import Resource
from airflow_personalize.resources import DATASET_GROUP
from airflow_personalize.triggers import personalize_deleted
from airflow_personalize.triggers.personalize_base import PersonalizeBaseTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeDeleteDatasetGroupOperator(PersonalizeBaseOperator):
    """Delete a dataset group; wait until the service no longer knows it; return its ARN.

    With ``cascade`` all it holds goes first, in the order the service asks for: campaigns, recommenders and
    metric attribution, then solutions with their versions, then event trackers and filters, then datasets; each
    step is gone before the next begins. What will be deleted is listed in the log before anything is. Schemas,
    which belong to no group, and what jobs wrote to S3 stay. A try that broke off goes on where it was.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_DeleteDatasetGroup.html

    :param dataset_group_arn: ARN of the dataset group.
    :param cascade: delete what it holds too. Default False: a group that holds anything raises for a retry.
    """

    resource = DATASET_GROUP
    trigger_class = personalize_deleted.PersonalizeDatasetGroupDeletedTrigger
    template_fields: Sequence[str] = aws_template_fields("dataset_group_arn", "cascade")

    def __init__(self, *, dataset_group_arn: str, cascade: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset_group_arn = dataset_group_arn
        self.cascade = cascade

    def execute(self, context: Context) -> str:
        """List what will go, delete it step by step, then the group."""
        arn = self.dataset_group_arn
        if self.hook.describe_if_any(self.resource, arn) is None:
            self.log.info("There is no dataset group %s.", arn)
            return arn
        if self.cascade:
            self._tell()
        return self._advance()

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Go on with the next step; return the ARN after the last."""
        arn = self.checked(event)
        self.log.info("%s is deleted.", arn)
        return arn if arn == self.dataset_group_arn else self._advance()

    def _tell(self) -> None:
        held = [each for step in steps(self.hook, self.dataset_group_arn) for each in step]
        lines = [f"{each.resource.noun} {each.arn}" for each in held]
        lines.append(f"dataset group {self.dataset_group_arn}")
        self.log.info("Will delete, in this order:\n  %s", "\n  ".join(lines))

    def _advance(self) -> str:
        """Delete from the first step that is left on; a deferral comes back here through execute_complete."""
        while self.cascade and (left := steps(self.hook, self.dataset_group_arn)):
            for resource, arn in left[0]:
                self.hook.delete(resource, arn)
            for resource, arn in left[0]:
                self.wait_for(_trigger_of(resource), arn)
        if self.hook.delete(self.resource, self.dataset_group_arn):
            self.await_end(self.dataset_group_arn)
        return self.dataset_group_arn


def _trigger_of(resource: Resource) -> type[PersonalizeBaseTrigger]:
    name = resource.member[0].upper() + resource.member[1:]
    trigger: type[PersonalizeBaseTrigger] = getattr(personalize_deleted, f"Personalize{name}DeletedTrigger")
    return trigger
