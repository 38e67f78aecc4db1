"""Tag what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.hooks.personalize import PersonalizeHook

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeTagResourceOperator(AwsBaseOperator[PersonalizeHook]):
    """Give a resource tags; those it has under other keys stay.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_TagResource.html

    :param resource_arn: ARN of anything but a schema or metric attribution, which have no tags. (templated)
    :param tags: tags by key. (templated)
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields("resource_arn", "tags")

    def __init__(self, *, resource_arn: str, tags: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.resource_arn = resource_arn
        self.tags = tags

    def execute(self, context: Context) -> None:
        """Tag."""
        self.hook.tag(self.resource_arn, self.tags)
        self.log.info("Tagged %s with %s", self.resource_arn, ", ".join(sorted(self.tags)))


class PersonalizeUntagResourceOperator(AwsBaseOperator[PersonalizeHook]):
    """Take tags off a resource; those it does not have are no error.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UntagResource.html

    :param resource_arn: ARN of anything but a schema or metric attribution, which have no tags. (templated)
    :param tag_keys: keys of the tags. (templated)
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields("resource_arn", "tag_keys")

    def __init__(self, *, resource_arn: str, tag_keys: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.resource_arn = resource_arn
        self.tag_keys = tag_keys

    def execute(self, context: Context) -> None:
        """Untag."""
        self.hook.untag(self.resource_arn, self.tag_keys)
        self.log.info("Took tags %s off %s", ", ".join(self.tag_keys), self.resource_arn)
