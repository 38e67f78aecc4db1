"""Create or adopt dataset groups, schemas, datasets, solutions, filters and campaigns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_personalize.links.personalize import (
    PersonalizeCampaignLink,
    PersonalizeDatasetGroupLink,
    PersonalizeDatasetLink,
    PersonalizeFilterLink,
    PersonalizeSchemaLink,
    PersonalizeSolutionLink,
)
from airflow_personalize.operators.base import (
    PersonalizeCreateBaseOperator,
    PersonalizeCreateTaggedBaseOperator,
    create_template_fields,
)
from airflow_personalize.resources import CAMPAIGN, DATASET, DATASET_GROUP, FILTER, SCHEMA, SOLUTION
from airflow_personalize.triggers.personalize import (
    PersonalizeCampaignActiveTrigger,
    PersonalizeDatasetActiveTrigger,
    PersonalizeDatasetGroupActiveTrigger,
    PersonalizeFilterActiveTrigger,
    PersonalizeSolutionActiveTrigger,
)


class PersonalizeCreateDatasetGroupOperator(PersonalizeCreateTaggedBaseOperator):
    """Create or adopt a dataset group.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDatasetGroup.html

    :param dataset_group_name: 1 to 63 letters, digits, ``-`` and ``_``.
    :param role_arn: role that may use the KMS key; required with ``kms_key_arn``.
    :param kms_key_arn: key that encrypts the datasets. Default: AWS's own.
    :param domain: ``ECOMMERCE`` or ``VIDEO_ON_DEMAND``. Default: a custom dataset group.
    """

    resource = DATASET_GROUP
    trigger_class = PersonalizeDatasetGroupActiveTrigger
    link_class = PersonalizeDatasetGroupLink
    operator_extra_links = (PersonalizeDatasetGroupLink(),)
    template_fields = create_template_fields("dataset_group_name", "role_arn", "kms_key_arn", "domain")

    def __init__(
        self,
        *,
        dataset_group_name: str,
        role_arn: str | None = None,
        kms_key_arn: str | None = None,
        domain: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset_group_name = dataset_group_name
        self.role_arn = role_arn
        self.kms_key_arn = kms_key_arn
        self.domain = domain

    def request(self) -> dict[str, Any]:
        """Return the members of CreateDatasetGroup."""
        return {
            "name": self.dataset_group_name,
            "roleArn": self.role_arn,
            "kmsKeyArn": self.kms_key_arn,
            "domain": self.domain,
        }


class PersonalizeCreateSchemaOperator(PersonalizeCreateBaseOperator):
    """Create or adopt a schema. It has no status: there is nothing to wait for.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateSchema.html

    :param schema_name: 1 to 63 letters, digits, ``-`` and ``_``; schemas outlive their dataset group.
    :param schema: Avro record, as JSON text or as a mapping.
    :param domain: the domain of the dataset group the schema is for. Default: none.
    """

    resource = SCHEMA
    link_class = PersonalizeSchemaLink
    operator_extra_links = (PersonalizeSchemaLink(),)
    template_fields: Sequence[str] = aws_template_fields("schema_name", "schema", "domain")

    def __init__(
        self, *, schema_name: str, schema: str | dict[str, Any], domain: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.schema_name = schema_name
        self.schema = schema
        self.domain = domain

    def request(self) -> dict[str, Any]:
        """Return the members of CreateSchema."""
        text = self.schema if isinstance(self.schema, str) else json.dumps(self.schema)
        return {"name": self.schema_name, "schema": text, "domain": self.domain}


class PersonalizeCreateDatasetOperator(PersonalizeCreateTaggedBaseOperator):
    """Create or adopt the dataset of one type in a dataset group.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDataset.html

    :param dataset_name: name shown in the console; a group has one dataset of each type, whatever its name.
    :param dataset_type: ``Interactions``, ``Items``, ``Users``, ``Actions`` or ``Action_Interactions``.
    :param schema_arn: ARN of its schema.
    :param dataset_group_arn: ARN of its dataset group.
    """

    resource = DATASET
    trigger_class = PersonalizeDatasetActiveTrigger
    link_class = PersonalizeDatasetLink
    operator_extra_links = (PersonalizeDatasetLink(),)
    template_fields = create_template_fields(
        "dataset_name", "dataset_type", "schema_arn", "dataset_group_arn"
    )

    def __init__(
        self, *, dataset_name: str, dataset_type: str, schema_arn: str, dataset_group_arn: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dataset_name = dataset_name
        self.dataset_type = dataset_type
        self.schema_arn = schema_arn
        self.dataset_group_arn = dataset_group_arn

    def request(self) -> dict[str, Any]:
        """Return the members of CreateDataset."""
        return {
            "name": self.dataset_name,
            # DescribeDataset and the ARN spell the type in capitals.
            "datasetType": self.dataset_type.upper(),
            "schemaArn": self.schema_arn,
            "datasetGroupArn": self.dataset_group_arn,
        }


class PersonalizeCreateSolutionOperator(PersonalizeCreateTaggedBaseOperator):
    """Create or adopt a solution: a recipe with its configuration. Nothing is trained yet.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateSolution.html

    :param solution_name: 1 to 63 letters, digits, ``-`` and ``_``.
    :param dataset_group_arn: ARN of the dataset group with the training data.
    :param recipe_arn: ARN of the recipe, e.g. ``arn:aws:personalize:::recipe/aws-user-personalization-v2``.
    :param event_type: train on this type of event only. Default: on all, with equal weight.
    :param solution_config: as the API's SolutionConfig; hyperparameters are strings.
    :param perform_hpo: search hyperparameters while training. Default False.
    :param perform_auto_training: let the service train on its own schedule. Default False, where the API's
        own default is True: training here is the DAG's business.
    :param perform_incremental_update: only for Semantic-Similarity. Default: left to the API.
    """

    resource = SOLUTION
    trigger_class = PersonalizeSolutionActiveTrigger
    link_class = PersonalizeSolutionLink
    operator_extra_links = (PersonalizeSolutionLink(),)
    template_fields = create_template_fields(
        "solution_name",
        "dataset_group_arn",
        "recipe_arn",
        "event_type",
        "solution_config",
        "perform_hpo",
        "perform_auto_training",
        "perform_incremental_update",
    )

    def __init__(
        self,
        *,
        solution_name: str,
        dataset_group_arn: str,
        recipe_arn: str,
        event_type: str | None = None,
        solution_config: dict[str, Any] | None = None,
        perform_hpo: bool = False,
        perform_auto_training: bool = False,
        perform_incremental_update: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.solution_name = solution_name
        self.dataset_group_arn = dataset_group_arn
        self.recipe_arn = recipe_arn
        self.event_type = event_type
        self.solution_config = solution_config
        self.perform_hpo = perform_hpo
        self.perform_auto_training = perform_auto_training
        self.perform_incremental_update = perform_incremental_update

    def request(self) -> dict[str, Any]:
        """Return the members of CreateSolution."""
        return {
            "name": self.solution_name,
            "datasetGroupArn": self.dataset_group_arn,
            "recipeArn": self.recipe_arn,
            "eventType": self.event_type,
            "solutionConfig": self.solution_config,
            "performHPO": self.perform_hpo,
            "performAutoTraining": self.perform_auto_training,
            "performIncrementalUpdate": self.perform_incremental_update,
        }


class PersonalizeCreateFilterOperator(PersonalizeCreateTaggedBaseOperator):
    """Create or adopt a filter.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateFilter.html

    :param filter_name: 1 to 63 letters, digits, ``-`` and ``_``.
    :param dataset_group_arn: ARN of the dataset group it filters in.
    :param filter_expression: e.g. ``EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")``.
    """

    resource = FILTER
    trigger_class = PersonalizeFilterActiveTrigger
    link_class = PersonalizeFilterLink
    operator_extra_links = (PersonalizeFilterLink(),)
    template_fields = create_template_fields("filter_name", "dataset_group_arn", "filter_expression")

    def __init__(
        self, *, filter_name: str, dataset_group_arn: str, filter_expression: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filter_name = filter_name
        self.dataset_group_arn = dataset_group_arn
        self.filter_expression = filter_expression

    def request(self) -> dict[str, Any]:
        """Return the members of CreateFilter."""
        return {
            "name": self.filter_name,
            "datasetGroupArn": self.dataset_group_arn,
            "filterExpression": self.filter_expression,
        }


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
