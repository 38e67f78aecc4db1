"""Links to the console: ARNs with ``$``, partition and region as in the resource's own ARN."""

from __future__ import annotations

import pytest

from airflow_personalize.links.personalize import (
    ALL,
    PersonalizeBatchInferenceJobLink,
    PersonalizeBatchSegmentJobLink,
    PersonalizeCampaignLink,
    PersonalizeDataDeletionJobLink,
    PersonalizeDatasetExportJobLink,
    PersonalizeDatasetGroupLink,
    PersonalizeDatasetImportJobLink,
    PersonalizeDatasetLink,
    PersonalizeEventTrackerLink,
    PersonalizeFilterLink,
    PersonalizeMetricAttributionLink,
    PersonalizeRecommenderLink,
    PersonalizeSchemaLink,
    PersonalizeSolutionLink,
    PersonalizeSolutionVersionLink,
)

PREFIX = "arn:aws:personalize:eu-west-1:123456789012:"
HOME = f"https://console.aws.amazon.com/personalize/home?region=eu-west-1#{PREFIX}dataset-group$shop"
SOLUTION = f"/solutionsAndRecipes/solutionDetail/{PREFIX}solution$up"
CASES = {
    PersonalizeDatasetGroupLink: ("dataset-group/shop", "/setup"),
    PersonalizeDatasetLink: ("dataset/shop/ITEMS", "/datasets"),
    PersonalizeDatasetImportJobLink: ("dataset-import-job/one", "/datasets"),
    PersonalizeSolutionLink: ("solution/up", SOLUTION),
    PersonalizeSolutionVersionLink: ("solution/up/0a1b2c3d", SOLUTION),
    PersonalizeFilterLink: ("filter/not-bought", "/filters"),
    PersonalizeBatchInferenceJobLink: ("batch-inference-job/one", "/batchInferenceJobs"),
    PersonalizeBatchSegmentJobLink: ("batch-segment-job/one", "/batchSegmentJobs"),
    PersonalizeDatasetExportJobLink: ("dataset-export-job/one", "/datasets"),
    PersonalizeDataDeletionJobLink: ("data-deletion-job/one", "/dataDeletionJobs"),
    PersonalizeCampaignLink: ("campaign/one", "/campaigns"),
    PersonalizeEventTrackerLink: ("event-tracker/0a1b2c3d", "/eventTrackers"),
    PersonalizeMetricAttributionLink: ("metric-attribution/one", "/metricAttributions"),
    PersonalizeRecommenderLink: ("recommender/for-you", "/recommenders"),
}


@pytest.mark.parametrize("link_class", CASES)
def test_link(link_class):
    tail, expected = CASES[link_class]
    stored = {"arn": PREFIX + tail, "dataset_group_arn": PREFIX + "dataset-group/shop"}
    link = link_class().format_link(region_name="eu-west-1", aws_domain="aws.amazon.com", **stored)
    assert link == HOME + expected


def test_the_link_of_a_schema_needs_no_dataset_group():
    stored = {"arn": PREFIX + "schema/one", "dataset_group_arn": ""}
    link = PersonalizeSchemaLink().format_link(region_name="eu-west-1", aws_domain="aws.amazon.com", **stored)
    assert link == "https://console.aws.amazon.com/personalize/home?region=eu-west-1#schemas"


def test_every_link_has_a_case_and_a_key_and_name_of_its_own():
    assert set(ALL) == {*CASES, PersonalizeSchemaLink}
    assert len({link.key for link in ALL}) == len({link.name for link in ALL}) == len(ALL)


def test_nothing_stored_gives_no_link():
    assert PersonalizeDatasetGroupLink().format_link() == ""
