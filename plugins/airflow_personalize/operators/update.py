"""Update campaigns, datasets, solutions and tags; stop trainings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.links.personalize import (
    PersonalizeCampaignLink,
    PersonalizeDatasetLink,
    PersonalizeSolutionLink,
    PersonalizeSolutionVersionLink,
)
from airflow_personalize.operators.base import PersonalizeBaseOperator
from airflow_personalize.resources import CAMPAIGN, DATASET, SOLUTION, SOLUTION_VERSION
from airflow_personalize.triggers.personalize import (
    PersonalizeCampaignUpdatedTrigger,
    PersonalizeDatasetUpdatedTrigger,
    PersonalizeSolutionUpdatedTrigger,
    PersonalizeSolutionVersionStoppedTrigger,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeUpdateBaseOperator(PersonalizeBaseOperator):
    """Update a resource unless the update is in force or in progress; wait until it is in force; return the ARN.

    Members without a value stay unchanged. A resource that has all requested values, and perhaps more, counts as
    up to date: the service fills in defaults that look like requested values. Another update in progress raises for
    a retry. A failed update raises with the service's reason; the former values stay in force.
    """

    @abstractmethod
    def request(self) -> dict[str, Any]:
        """Return the members of the Update request; None values are dropped."""

    def execute(self, context: Context) -> str:
        """Update or adopt the update, wait, look that it is in force."""
        request = self.request()
        arn = str(request[self.resource.arn_member])
        in_force = self.update()
        self.persist_link(context, arn)
        if self.wait_for_completion and not (in_force or self.hook.soon(self.is_in_force)):
            # The newest update described may still be the one before: only the trigger looks that late.
            self.await_end(arn, quick=False)
            self.check()
        return arn

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Return the ARN, or raise what the trigger saw, or that the update is not in force."""
        arn = super().execute_complete(context, event)
        self.check()
        return arn

    def update(self) -> bool:
        """Send the update; True if it is already in force."""
        return self.hook.update_or_adopt(self.resource, self.request())

    def is_in_force(self) -> bool | None:
        """True if the update is in force, None while it is in progress, False if it failed."""
        return self.hook.is_in_force(self.resource, self.request())

    def check(self) -> None:
        """Look whether the update is in force."""
        self.hook.check_in_force(self.resource, self.request())


class PersonalizeUpdateCampaignOperator(PersonalizeUpdateBaseOperator):
    """Move a campaign to another solution version, capacity or configuration.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UpdateCampaign.html

    :param campaign_arn: ARN of the campaign; it goes on answering while it is updated.
    :param solution_version_arn: ARN of the solution version, or ``SOLUTION_ARN/$LATEST``. Default: as it is.
    :param min_provisioned_tps: requests per second that are billed at least. Default: as it is.
    :param campaign_config: as the API's CampaignConfig. Default: as it is.
    """

    resource = CAMPAIGN
    trigger_class = PersonalizeCampaignUpdatedTrigger
    link_class = PersonalizeCampaignLink
    operator_extra_links = (PersonalizeCampaignLink(),)
    template_fields: Sequence[str] = aws_template_fields(
        "campaign_arn", "solution_version_arn", "min_provisioned_tps", "campaign_config"
    )

    def __init__(
        self,
        *,
        campaign_arn: str,
        solution_version_arn: str | None = None,
        min_provisioned_tps: int | str | None = None,
        campaign_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_arn = campaign_arn
        self.solution_version_arn = solution_version_arn
        self.min_provisioned_tps = min_provisioned_tps
        self.campaign_config = campaign_config

    def request(self) -> dict[str, Any]:
        """Return the members of UpdateCampaign."""
        return {
            "campaignArn": self.campaign_arn,
            "solutionVersionArn": self.solution_version_arn,
            "minProvisionedTPS": None if self.min_provisioned_tps is None else int(self.min_provisioned_tps),
            "campaignConfig": self.campaign_config,
        }


class PersonalizeUpdateDatasetOperator(PersonalizeUpdateBaseOperator):
    """Replace the schema of an Items or Users dataset.

    The new schema keeps every field of the old one; fields it adds have to allow null. Solutions there are do
    not train on new columns until their configuration includes them.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UpdateDataset.html

    :param dataset_arn: ARN of the dataset.
    :param schema_arn: ARN of the new schema.
    """

    resource = DATASET
    trigger_class = PersonalizeDatasetUpdatedTrigger
    link_class = PersonalizeDatasetLink
    operator_extra_links = (PersonalizeDatasetLink(),)
    template_fields: Sequence[str] = aws_template_fields("dataset_arn", "schema_arn")

    def __init__(self, *, dataset_arn: str, schema_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset_arn = dataset_arn
        self.schema_arn = schema_arn

    def request(self) -> dict[str, Any]:
        """Return the members of UpdateDataset."""
        return {"datasetArn": self.dataset_arn, "schemaArn": self.schema_arn}


class PersonalizeUpdateSolutionOperator(PersonalizeUpdateBaseOperator):
    """Change the automatic training, incremental update or event weights of a solution.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_UpdateSolution.html

    :param solution_arn: ARN of the solution.
    :param perform_auto_training: let the service train on its own schedule. Default: as it is.
    :param perform_incremental_update: only for Semantic-Similarity. Default: as it is.
    :param solution_update_config: as the API's SolutionUpdateConfig: autoTrainingConfig, eventsConfig.
        Default: as it is.
    """

    resource = SOLUTION
    trigger_class = PersonalizeSolutionUpdatedTrigger
    link_class = PersonalizeSolutionLink
    operator_extra_links = (PersonalizeSolutionLink(),)
    template_fields: Sequence[str] = aws_template_fields(
        "solution_arn", "perform_auto_training", "perform_incremental_update", "solution_update_config"
    )

    def __init__(
        self,
        *,
        solution_arn: str,
        perform_auto_training: bool | None = None,
        perform_incremental_update: bool | None = None,
        solution_update_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.solution_arn = solution_arn
        self.perform_auto_training = perform_auto_training
        self.perform_incremental_update = perform_incremental_update
        self.solution_update_config = solution_update_config

    def request(self) -> dict[str, Any]:
        """Return the members of UpdateSolution."""
        return {
            "solutionArn": self.solution_arn,
            "performAutoTraining": self.perform_auto_training,
            "performIncrementalUpdate": self.perform_incremental_update,
            "solutionUpdateConfig": self.solution_update_config,
        }


class PersonalizeStopSolutionVersionCreationOperator(PersonalizeBaseOperator):
    """Stop a training; wait until it has ended. What it used is billed, and it cannot be resumed.

    A training that has ended is no error.

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
