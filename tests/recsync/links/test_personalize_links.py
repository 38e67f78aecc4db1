"""Links to the console: ARNs with ``$``, partition and region as in the resource's own ARN."""

from __future__ import annotations

import pytest

from recsync.links.personalize import (
    ALL,
    PersonalizeBatchInferenceJobLink,
    PersonalizeDatasetGroupLink,
    PersonalizeDatasetImportJobLink,
    PersonalizeDatasetLink,
    PersonalizeFilterLink,
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
}


@pytest.mark.parametrize("link_class", CASES)
def test_link(link_class):
    tail, expected = CASES[link_class]
    stored = {"arn": PREFIX + tail, "dataset_group_arn": PREFIX + "dataset-group/shop"}
    link = link_class().format_link(region_name="eu-west-1", aws_domain="aws.amazon.com", **stored)
    assert link == HOME + expected


def test_every_link_has_a_case_and_a_key_and_name_of_its_own():
    assert set(ALL) == set(CASES)
    assert len({link.key for link in CASES}) == len({link.name for link in CASES}) == len(CASES)


def test_nothing_stored_gives_no_link():
    assert PersonalizeDatasetGroupLink().format_link() == ""
