"""Create or adopt campaigns: solution versions that answer in real time."""

from __future__ import annotations

from typing import Any

from airflow_personalize.links.personalize import PersonalizeCampaignLink
from airflow_personalize.operators.create import PersonalizeCreateTaggedBaseOperator, create_template_fields
from airflow_personalize.resources import CAMPAIGN
from airflow_personalize.triggers.personalize import PersonalizeCampaignActiveTrigger


class PersonalizeCreateCampaignOperator(PersonalizeCreateTaggedBaseOperator):
    """Deploy a solution version. It is billed by the hour until it is deleted.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateCampaign.html

    :param campaign_name: 1 to 63 letters, digits, ``-`` and ``_``.
    :param solution_version_arn: ARN of the solution version; ``SOLUTION_ARN/$LATEST`` together with
        ``syncWithLatestSolutionVersion`` in ``campaign_config``.
    :param min_provisioned_tps: requests per second that are billed at least. Default: the API's, 1.
    :param campaign_config: as the API's CampaignConfig, e.g. itemExplorationConfig, rankingInfluence.
        Default: none.
    """

    resource = CAMPAIGN
    trigger_class = PersonalizeCampaignActiveTrigger
    link_class = PersonalizeCampaignLink
    operator_extra_links = (PersonalizeCampaignLink(),)
    template_fields = create_template_fields(
        "campaign_name", "solution_version_arn", "min_provisioned_tps", "campaign_config"
    )

    def __init__(
        self,
        *,
        campaign_name: str,
        solution_version_arn: str,
        min_provisioned_tps: int | str | None = None,
        campaign_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_name = campaign_name
        self.solution_version_arn = solution_version_arn
        self.min_provisioned_tps = min_provisioned_tps
        self.campaign_config = campaign_config

    def request(self) -> dict[str, Any]:
        """Return the members of CreateCampaign."""
        return {
            "name": self.campaign_name,
            "solutionVersionArn": self.solution_version_arn,
            # A template renders to text.
            "minProvisionedTPS": None if self.min_provisioned_tps is None else int(self.min_provisioned_tps),
            "campaignConfig": self.campaign_config,
        }

    def dataset_group_arn_for_link(self) -> str:
        """Ask for the dataset group of the version's solution."""
        return self.hook.dataset_group_of_version(self.solution_version_arn)
