"""Delete what is no longer needed, and wait until it is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.operators.base import PersonalizeBaseOperator
from airflow_personalize.resources import (
    CAMPAIGN,
    DATASET,
    EVENT_TRACKER,
    FILTER,
    METRIC_ATTRIBUTION,
    SCHEMA,
    SOLUTION,
)
from airflow_personalize.triggers.personalize_deleted import (
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

    What is gone already, or is being deleted, is no error. What something else still uses raises for a retry,
    because deletions of what uses it may be under way.
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
