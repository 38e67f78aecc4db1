"""The flow every creating Personalize operator shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from recsync.airflow_errors import fatal_errors_fail_the_task
from recsync.hooks.personalize_changes import tag_list
from recsync.operators.personalize.base import PersonalizeBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


def create_template_fields(*own: str) -> tuple[str, ...]:
    """Return the template fields of an operator that creates: its own, ``tags`` and the AWS ones."""
    return tuple(aws_template_fields("tags", *own))


def s3_place(path: str, kms_key_arn: str | None = None) -> dict[str, str]:
    """Return an S3 address as the API's S3DataConfig."""
    return {"path": path} | ({"kmsKeyArn": kms_key_arn} if kms_key_arn else {})


class PersonalizeCreateBaseOperator(PersonalizeBaseOperator):
    """Create a resource, or adopt the one of that name; wait until it is ACTIVE; return its ARN.

    Whatever is tried again (a retry, a cleared task, a second run with the same name) adopts what the first
    try made and never pays twice. A found resource that differs from the parameters fails the task without
    retry and says what differs. A job that failed raises with the service's reason; the retry takes the next
    suffix.

    Further parameters are those of :class:`PersonalizeBaseOperator`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.created_arn: str | None = None

    @abstractmethod
    def request(self) -> dict[str, Any]:
        """Return the members of the Create operation; those that are None are left out."""

    def dataset_group_arn_for_link(self) -> str | None:
        """Read the dataset group off the request; none for a schema, which belongs to no group."""
        return self.request().get("datasetGroupArn")

    def execute(self, context: Context) -> str:
        """Create or adopt, make the ARN known, wait."""
        with fatal_errors_fail_the_task():
            arn, adopted = self.create_or_adopt()
            self.created_arn = None if adopted else arn
            self.log.info("%s %s %s", "Adopted" if adopted else "Created", self.resource.noun, arn)
            self.persist_link(context, arn)
            if self._awaits(arn, adopted):
                self.await_end(arn, quick=not self.resource.single_use)
        return self.result(context, arn)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Return the ARN, or raise what the trigger saw."""
        return self.result(context, super().execute_complete(context, event))

    def create_or_adopt(self) -> tuple[str, bool]:
        """Return the ARN, and whether it was there before."""
        return self.hook.create_or_adopt(self.resource, self.request())

    def result(self, context: Context, arn: str) -> str:
        """Do what is left to do once the resource is ready."""
        return arn

    def _awaits(self, arn: str, adopted: bool) -> bool:
        if not self.wait_for_completion or self.trigger_class is None:
            return False
        return not (adopted and self.hook.has_ended(self.trigger_class.wait, arn))


class PersonalizeCreateTaggedBaseOperator(PersonalizeCreateBaseOperator):
    """Create or adopt what can have tags.

    :param tags: tags by key. An adopted resource gets those it lacks; it keeps others it has. Default: none.
    """

    def __init__(self, *, tags: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tags = tags

    def create_or_adopt(self) -> tuple[str, bool]:
        """Create with the tags, or adopt and give it those it lacks."""
        if not self.tags:
            return super().create_or_adopt()
        request = {**self.request(), "tags": tag_list(self.tags)}
        arn, adopted = self.hook.create_or_adopt(self.resource, request)
        if adopted:
            self.hook.ensure_tags(arn, self.tags)
        return arn, adopted
