"""Link a task instance to the AWS console's page of the Personalize resource it made.

The console's address holds ARNs with ``$`` in place of ``/``. The forms of dataset group (``/setup``) and
solution (``/solutionsAndRecipes/solutionDetail/…``) were seen in addresses people copied from the console;
no address of a single dataset, filter, campaign or batch job was found, so those links name the section of the
dataset group that should list them. Those sections' names (``/datasets``, ``/filters``, ``/campaigns`` and so on)
are not verified. A schema belongs to no dataset group: its link leads to the console's page of all schemas.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink

_DATASET_GROUP = BASE_AWS_CONSOLE_LINK + "/personalize/home?region={region_name}#{dataset_group_arn}"


class PersonalizeBaseLink(BaseAwsLink):
    """Format what ``persist`` stored: ``arn`` and ``dataset_group_arn`` as the API writes them."""

    def format_link(self, **kwargs: Any) -> str:
        """Write ARNs the way the console does; a solution version is shown on its solution's page."""
        solution_arn = "/".join(kwargs.get("arn", "").split("/")[:2])
        words = {**kwargs, "solution_arn": solution_arn}
        return super().format_link(
            **{key: value.replace("/", "$") if key.endswith("arn") else value for key, value in words.items()}
        )


class PersonalizeDatasetGroupLink(PersonalizeBaseLink):
    """Lead to a dataset group."""

    name = "Amazon Personalize dataset group"
    key = "personalize_dataset_group"
    format_str = _DATASET_GROUP + "/setup"


class PersonalizeDatasetLink(PersonalizeBaseLink):
    """Lead to the datasets of a dataset group."""

    name = "Amazon Personalize datasets"
    key = "personalize_dataset"
    format_str = _DATASET_GROUP + "/datasets"


class PersonalizeDatasetImportJobLink(PersonalizeBaseLink):
    """Lead to the datasets of a dataset group, where the import jobs are listed."""

    name = "Amazon Personalize dataset import jobs"
    key = "personalize_dataset_import_job"
    format_str = _DATASET_GROUP + "/datasets"


class PersonalizeSolutionLink(PersonalizeBaseLink):
    """Lead to a solution."""

    name = "Amazon Personalize solution"
    key = "personalize_solution"
    format_str = _DATASET_GROUP + "/solutionsAndRecipes/solutionDetail/{solution_arn}"


class PersonalizeSolutionVersionLink(PersonalizeBaseLink):
    """Lead to the solution that lists a solution version."""

    name = "Amazon Personalize solution versions"
    key = "personalize_solution_version"
    format_str = _DATASET_GROUP + "/solutionsAndRecipes/solutionDetail/{solution_arn}"


class PersonalizeFilterLink(PersonalizeBaseLink):
    """Lead to the filters of a dataset group."""

    name = "Amazon Personalize filters"
    key = "personalize_filter"
    format_str = _DATASET_GROUP + "/filters"


class PersonalizeBatchInferenceJobLink(PersonalizeBaseLink):
    """Lead to the batch inference jobs of a dataset group."""

    name = "Amazon Personalize batch inference jobs"
    key = "personalize_batch_inference_job"
    format_str = _DATASET_GROUP + "/batchInferenceJobs"


class PersonalizeDatasetExportJobLink(PersonalizeBaseLink):
    """Lead to the datasets of a dataset group, where the export jobs are listed."""

    name = "Amazon Personalize dataset export jobs"
    key = "personalize_dataset_export_job"
    format_str = _DATASET_GROUP + "/datasets"


class PersonalizeDataDeletionJobLink(PersonalizeBaseLink):
    """Lead to the data deletion jobs of a dataset group."""

    name = "Amazon Personalize data deletion jobs"
    key = "personalize_data_deletion_job"
    format_str = _DATASET_GROUP + "/dataDeletionJobs"


class PersonalizeBatchSegmentJobLink(PersonalizeBaseLink):
    """Lead to the batch segment jobs of a dataset group."""

    name = "Amazon Personalize batch segment jobs"
    key = "personalize_batch_segment_job"
    format_str = _DATASET_GROUP + "/batchSegmentJobs"


class PersonalizeCampaignLink(PersonalizeBaseLink):
    """Lead to the campaigns of a dataset group."""

    name = "Amazon Personalize campaigns"
    key = "personalize_campaign"
    format_str = _DATASET_GROUP + "/campaigns"


class PersonalizeEventTrackerLink(PersonalizeBaseLink):
    """Lead to the event trackers of a dataset group."""

    name = "Amazon Personalize event trackers"
    key = "personalize_event_tracker"
    format_str = _DATASET_GROUP + "/eventTrackers"


class PersonalizeMetricAttributionLink(PersonalizeBaseLink):
    """Lead to the metric attribution of a dataset group."""

    name = "Amazon Personalize metric attributions"
    key = "personalize_metric_attribution"
    format_str = _DATASET_GROUP + "/metricAttributions"


class PersonalizeRecommenderLink(PersonalizeBaseLink):
    """Lead to the recommenders of a domain dataset group."""

    name = "Amazon Personalize recommenders"
    key = "personalize_recommender"
    format_str = _DATASET_GROUP + "/recommenders"


class PersonalizeSchemaLink(PersonalizeBaseLink):
    """Lead to the schemas of the account."""

    name = "Amazon Personalize schemas"
    key = "personalize_schema"
    format_str = BASE_AWS_CONSOLE_LINK + "/personalize/home?region={region_name}#schemas"


ALL = (
    PersonalizeDatasetGroupLink,
    PersonalizeDatasetLink,
    PersonalizeDatasetImportJobLink,
    PersonalizeSolutionLink,
    PersonalizeSolutionVersionLink,
    PersonalizeFilterLink,
    PersonalizeBatchInferenceJobLink,
    PersonalizeDatasetExportJobLink,
    PersonalizeDataDeletionJobLink,
    PersonalizeBatchSegmentJobLink,
    PersonalizeCampaignLink,
    PersonalizeEventTrackerLink,
    PersonalizeMetricAttributionLink,
    PersonalizeRecommenderLink,
    PersonalizeSchemaLink,
)
