"""Delete resources, alone or with everything below them, and wait until they are gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.hooks.personalize_client import deletion_steps
from airflow_personalize.operators.base import PersonalizeBaseOperator
from airflow_personalize.resource import Resource
from airflow_personalize.resources import (
    CAMPAIGN,
    DATASET,
    DATASET_GROUP,
    EVENT_TRACKER,
    FILTER,
    METRIC_ATTRIBUTION,
    SCHEMA,
    SOLUTION,
)
from airflow_personalize.triggers import personalize
from airflow_personalize.triggers.personalize import (
    PersonalizeBaseTrigger,
    PersonalizeCampaignDeletedTrigger,
    PersonalizeDatasetDeletedTrigger,
    PersonalizeEventTrackerDeletedTrigger,
    PersonalizeFilterDeletedTrigger,
    PersonalizeMetricAttributionDeletedTrigger,
    PersonalizeSchemaDeletedTrigger,
    PersonalizeSolutionDeletedTrigger,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeDeleteBaseOperator(PersonalizeBaseOperator):
    """Delete a resource; wait until the service no longer knows it; return its ARN.

    A resource that is gone or being deleted is no error. A resource in use raises for a retry,
    because its users may be in deletion.
    """

    def execute(self, context: Context) -> str:
        """Delete, wait."""
        arn = str(getattr(self, f"{self.resource.operation}_arn"))
        if self.hook.delete(self.resource, arn):
            self.log.info("Deleting %s %s", self.resource.noun, arn)
            self.await_end(arn)
        return arn


class PersonalizeDeleteCampaignOperator(PersonalizeDeleteBaseOperator):
    """Delete a campaign; its provisioned capacity is billed until then.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_DeleteCampaign.html

    :param campaign_arn: ARN of the campaign.
    """

    resource = CAMPAIGN
    trigger_class = PersonalizeCampaignDeletedTrigger
    template_fields: Sequence[str] = aws_template_fields("campaign_arn")

    def __init__(self, *, campaign_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_arn = campaign_arn


class PersonalizeDeleteFilterOperator(PersonalizeDeleteBaseOperator):
    """Delete a filter. One that a running batch job uses raises for a retry.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_DeleteFilter.html

    :param filter_arn: ARN of the filter.
    """

    resource = FILTER
    trigger_class = PersonalizeFilterDeletedTrigger
    template_fields: Sequence[str] = aws_template_fields("filter_arn")

    def __init__(self, *, filter_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filter_arn = filter_arn


class PersonalizeDeleteSolutionOperator(PersonalizeDeleteBaseOperator):
    """Delete a solution with all its versions; none may be in training, no campaign may use one.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_DeleteSolution.html

    :param solution_arn: ARN of the solution.
    """

    resource = SOLUTION
    trigger_class = PersonalizeSolutionDeletedTrigger
    template_fields: Sequence[str] = aws_template_fields("solution_arn")

    def __init__(self, *, solution_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.solution_arn = solution_arn


class PersonalizeDeleteEventTrackerOperator(PersonalizeDeleteBaseOperator):
    """Delete an event tracker; what it recorded stays in the dataset.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_DeleteEventTracker.html

    :param event_tracker_arn: ARN of the event tracker.
    """

    resource = EVENT_TRACKER
    trigger_class = PersonalizeEventTrackerDeletedTrigger
    template_fields: Sequence[str] = aws_template_fields("event_tracker_arn")

    def __init__(self, *, event_tracker_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.event_tracker_arn = event_tracker_arn


class PersonalizeDeleteMetricAttributionOperator(PersonalizeDeleteBaseOperator):
    """Delete a metric attribution; reports it wrote stay on S3.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_DeleteMetricAttribution.html

    :param metric_attribution_arn: ARN of the metric attribution.
    """

    resource = METRIC_ATTRIBUTION
    trigger_class = PersonalizeMetricAttributionDeletedTrigger
    template_fields: Sequence[str] = aws_template_fields("metric_attribution_arn")

    def __init__(self, *, metric_attribution_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metric_attribution_arn = metric_attribution_arn


class PersonalizeDeleteDatasetOperator(PersonalizeDeleteBaseOperator):
    """Delete a dataset with all its rows; no import into it and no training on it may be under way.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_DeleteDataset.html

    :param dataset_arn: ARN of the dataset.
    """

    resource = DATASET
    trigger_class = PersonalizeDatasetDeletedTrigger
    template_fields: Sequence[str] = aws_template_fields("dataset_arn")

    def __init__(self, *, dataset_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset_arn = dataset_arn


class PersonalizeDeleteSchemaOperator(PersonalizeDeleteBaseOperator):
    """Delete a schema that no dataset uses.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_DeleteSchema.html

    :param schema_arn: ARN of the schema.
    """

    resource = SCHEMA
    trigger_class = PersonalizeSchemaDeletedTrigger
    template_fields: Sequence[str] = aws_template_fields("schema_arn")

    def __init__(self, *, schema_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schema_arn = schema_arn


class PersonalizeDeleteDatasetGroupOperator(PersonalizeBaseOperator):
    """Delete a dataset group; wait until the service no longer knows it; return its ARN.

    ``cascade`` deletes the contents first, in the order that the service requires: campaigns, recommenders and
    metric attribution, then solutions with their versions, then event trackers and filters, then datasets; each
    step waits for the one before. The log lists everything before the first deletion. Schemas, which belong to no
    group, and job outputs on S3 stay. A retry continues an interrupted deletion.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_DeleteDatasetGroup.html

    :param dataset_group_arn: ARN of the dataset group.
    :param cascade: delete what it holds too. Default False: a group that holds anything raises for a retry.
    """

    resource = DATASET_GROUP
    trigger_class = personalize.PersonalizeDatasetGroupDeletedTrigger
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
        held = [each for step in deletion_steps(self.hook, self.dataset_group_arn) for each in step]
        lines = [f"{each.resource.noun} {each.arn}" for each in held]
        lines.append(f"dataset group {self.dataset_group_arn}")
        self.log.info("Will delete, in this order:\n  %s", "\n  ".join(lines))

    def _advance(self) -> str:
        """Delete step by step; execute_complete resumes here after a deferral."""
        while self.cascade and (left := deletion_steps(self.hook, self.dataset_group_arn)):
            for resource, arn in left[0]:
                self.hook.delete(resource, arn)
            for resource, arn in left[0]:
                self.wait_for(_trigger_of(resource), arn)
        if self.hook.delete(self.resource, self.dataset_group_arn):
            self.await_end(self.dataset_group_arn)
        return self.dataset_group_arn


def _trigger_of(resource: Resource) -> type[PersonalizeBaseTrigger]:
    name = resource.member[0].upper() + resource.member[1:]
    trigger: type[PersonalizeBaseTrigger] = getattr(personalize, f"Personalize{name}DeletedTrigger")
    return trigger
