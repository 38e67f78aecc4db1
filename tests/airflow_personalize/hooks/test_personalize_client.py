"""What a dataset group holds, listed in the order of its deletion."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.hooks.personalize_client import deletion_steps
from airflow_personalize.resources import FILTER

PREFIX = "arn:aws:personalize:eu-west-1:123456789012:"
GROUP = PREFIX + "dataset-group/shop"


def listing(server: Any, **held: list[dict[str, Any]]) -> None:
    """Script what the account lists; whatever the listing was narrowed by."""
    words = (
        "Solutions",
        "Campaigns",
        "EventTrackers",
        "Filters",
        "Datasets",
        "MetricAttributions",
        "Recommenders",
    )
    for each in words:
        member = each if each == "Filters" else each[0].lower() + each[1:]
        summaries = [{**one, "creationDateTime": 1700000000} for one in held.get(each, [])]
        server.on(f"List{each}", {member: summaries})


@pytest.mark.parametrize(
    ("tail", "asked"),
    [
        ("dataset/shop/ITEMS", []),
        ("solution/up", ["DescribeSolution"]),
        ("solution/up/$LATEST", ["DescribeSolution"]),
        ("campaign/one", ["DescribeCampaign", "DescribeSolution"]),
        ("recommender/home", ["DescribeRecommender"]),
        ("metric-attribution/one", ["DescribeMetricAttribution"]),
    ],
)
def test_a_dataset_group_is_found_by_the_arn_of_what_is_in_it(hook, aws_json_server, tail, asked):
    aws_json_server.on("DescribeCampaign", {"campaign": {"solutionVersionArn": PREFIX + "solution/up/1"}})
    for kind in ("solution", "recommender", "metricAttribution"):
        name = kind[0].upper() + kind[1:]
        aws_json_server.on(f"Describe{name}", {kind: {"datasetGroupArn": GROUP}})
    assert hook.dataset_group_of(PREFIX + tail) == GROUP
    assert [call for call, _ in aws_json_server.calls] == asked


@pytest.mark.parametrize("tail", ["dataset/shop", "schema/one", "batch-inference-job/one"])
def test_an_arn_of_nothing_in_a_dataset_group_is_refused(hook, tail):
    with pytest.raises(ValueError, match="is no ARN of a resource of a dataset group"):
        hook.dataset_group_of(PREFIX + tail)


def test_recommenders_are_looked_for_in_domain_groups_only(hook, aws_json_server):
    recommender = PREFIX + "recommender/home"
    listing(aws_json_server, Recommenders=[{"recommenderArn": recommender}])
    aws_json_server.on("DescribeRecommender", {"recommender": {"datasetGroupArn": GROUP}})
    aws_json_server.on("DescribeDatasetGroup", {"datasetGroup": {"datasetGroupArn": GROUP}})
    assert deletion_steps(hook, GROUP) == []
    aws_json_server.on("DescribeDatasetGroup", {"datasetGroup": {"domain": "ECOMMERCE"}})
    assert [[held.arn for held in step] for step in deletion_steps(hook, GROUP)] == [[recommender]]


def test_nothing_of_another_group_is_ever_listed_for_deletion(hook, aws_json_server):
    aws_json_server.on("DescribeDatasetGroup", {"datasetGroup": {}})
    stranger = PREFIX + "solution/stranger"
    listing(aws_json_server, Solutions=[{"solutionArn": stranger}])
    aws_json_server.on("DescribeSolution", {"solution": {"datasetGroupArn": GROUP + "2"}})
    with pytest.raises(PersonalizeFatalError, match=r"stranger was listed as part of .*Nothing was deleted"):
        deletion_steps(hook, GROUP)


def test_what_vanishes_while_it_is_listed_is_left_out(hook, aws_json_server):
    aws_json_server.on("DescribeDatasetGroup", {"datasetGroup": {}})
    listing(aws_json_server, Datasets=[{"datasetArn": PREFIX + "dataset/shop/ITEMS"}])
    aws_json_server.on("DescribeDataset", aws_json_server.refusal("ResourceNotFoundException"))
    assert deletion_steps(hook, GROUP) == []


def test_all_pages_are_listed(hook, aws_json_server):
    pages = [
        {"filters": [], "Filters": [{"filterArn": "one", "creationDateTime": 1}], "nextToken": "more"},
        {"Filters": [{"filterArn": "two", "creationDateTime": 2}]},
    ]
    aws_json_server.on("ListFilters", *pages)
    assert [each["filterArn"] for each in hook.listed(FILTER, datasetGroupArn=GROUP)] == ["two", "one"]
    assert aws_json_server.requests("ListFilters")[1] == {"datasetGroupArn": GROUP, "nextToken": "more"}
