"""PersonalizeHook's changes: updates, deletions, stops and tags may be repeated; what is not ours is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.resources import CAMPAIGN, DATASET, FILTER, RECOMMENDER, RESOURCES, SCHEMA, SOLUTION

PREFIX = "arn:aws:personalize:eu-west-1:123456789012:"
GROUP, VERSION = PREFIX + "dataset-group/shop", PREFIX + "solution/up/0a1b2c3d"

# Resource: the Update request; the description where it is in force; a description where it is not.
UPDATES: dict[Any, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    RECOMMENDER: (
        {
            "recommenderArn": PREFIX + "recommender/for-you",
            "recommenderConfig": {"minRecommendationRequestsPerSecond": 3},
        },
        {
            "recommenderConfig": {
                "minRecommendationRequestsPerSecond": 3,
                "enableMetadataWithRecommendations": True,
            }
        },
        {"recommenderConfig": {"minRecommendationRequestsPerSecond": 1}},
    ),
    CAMPAIGN: (
        {"campaignArn": PREFIX + "campaign/mail", "solutionVersionArn": VERSION, "minProvisionedTPS": 2},
        {"solutionVersionArn": VERSION, "minProvisionedTPS": 2},
        {"solutionVersionArn": VERSION, "minProvisionedTPS": 1},
    ),
    DATASET: (
        {"datasetArn": PREFIX + "dataset/shop/ITEMS", "schemaArn": PREFIX + "schema/two"},
        {"schemaArn": PREFIX + "schema/two"},
        {"schemaArn": PREFIX + "schema/one"},
    ),
    SOLUTION: (
        {
            "solutionArn": PREFIX + "solution/up",
            "performAutoTraining": True,
            "solutionUpdateConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(3 days)"}},
        },
        {
            "performAutoTraining": True,
            "solutionConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(3 days)"}},
        },
        {
            "performAutoTraining": True,
            "solutionConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(7 days)"}},
        },
    ),
}


def named(resource: Any) -> str:
    return resource.member


def word(resource: Any) -> str:
    return resource.member[0].upper() + resource.member[1:]


def describe(server: Any, resource: Any, body: dict[str, Any], latest: dict[str, Any] | None = None) -> None:
    arn = UPDATES[resource][0][resource.arn_member]
    told = {**body, resource.arn_member: arn, "status": "ACTIVE"}
    if latest is not None:
        told[resource.update.member] = latest
    server.on(f"Describe{word(resource)}", {resource.member: told})


def asked(resource: Any) -> dict[str, Any]:
    request = UPDATES[resource][0]
    return {member: value for member, value in request.items() if member != resource.arn_member}


def test_every_resource_with_updates_of_its_own_has_a_case():
    assert set(UPDATES) == {each for each in RESOURCES if each.update and each.update.member}


@pytest.mark.parametrize("resource", UPDATES, ids=named)
def test_updates_what_differs(hook, aws_json_server, resource):
    request, _, other = UPDATES[resource]
    describe(aws_json_server, resource, other)
    aws_json_server.on(f"Update{word(resource)}", {resource.arn_member: request[resource.arn_member]})
    assert hook.update_or_adopt(resource, {**request, "tags": None}) is False
    assert aws_json_server.requests(f"Update{word(resource)}") == [request]


@pytest.mark.parametrize("resource", UPDATES, ids=named)
def test_leaves_alone_what_is_in_force(hook, aws_json_server, resource):
    request, same, _ = UPDATES[resource]
    describe(aws_json_server, resource, same, {"status": "ACTIVE", **asked(resource)})
    assert hook.update_or_adopt(resource, request) is True
    hook.check_in_force(resource, request)
    assert [name for name, _ in aws_json_server.calls if name.startswith("Update")] == []


@pytest.mark.parametrize("resource", UPDATES, ids=named)
@pytest.mark.parametrize("status", ["CREATE PENDING", "CREATE_IN_PROGRESS"])
def test_adopts_its_own_update_under_way(hook, aws_json_server, resource, status):
    request, _, other = UPDATES[resource]
    describe(aws_json_server, resource, other, {"status": status, **asked(resource)})
    assert hook.update_or_adopt(resource, request) is False
    assert hook.is_in_force(resource, request) is None
    assert [name for name, _ in aws_json_server.calls if name.startswith("Update")] == []


def test_another_update_under_way_is_worth_a_retry_and_named(hook, aws_json_server):
    request, _, other = UPDATES[DATASET]
    describe(
        aws_json_server, DATASET, other, {"status": "CREATE PENDING", "schemaArn": PREFIX + "schema/three"}
    )
    with pytest.raises(
        PersonalizeRetriableError,
        match=r"(?s)Another update of dataset .*schemaArn: asked for .*schema/three",
    ):
        hook.update_or_adopt(DATASET, request)


@pytest.mark.parametrize("resource", UPDATES, ids=named)
def test_asks_again_after_an_update_that_failed(hook, aws_json_server, resource):
    request, _, other = UPDATES[resource]
    describe(aws_json_server, resource, other, {"status": "CREATE FAILED", **asked(resource)})
    aws_json_server.on(f"Update{word(resource)}", {resource.arn_member: request[resource.arn_member]})
    assert hook.is_in_force(resource, request) is False
    assert hook.update_or_adopt(resource, request) is False
    assert len(aws_json_server.requests(f"Update{word(resource)}")) == 1


@pytest.mark.parametrize("resource", UPDATES, ids=named)
def test_an_update_that_ended_without_effect_is_worth_a_retry(hook, aws_json_server, resource):
    request, _, other = UPDATES[resource]
    describe(aws_json_server, resource, other, {"status": "ACTIVE"})
    with pytest.raises(PersonalizeRetriableError, match="ended but is not in force:\n  "):
        hook.check_in_force(resource, request)


def test_a_refused_update_is_told(hook, aws_json_server):
    request, _, other = UPDATES[DATASET]
    describe(aws_json_server, DATASET, other)
    aws_json_server.on("UpdateDataset", aws_json_server.refusal("InvalidInputException", "Must keep PRICE."))
    with pytest.raises(PersonalizeFatalError, match=r"Cannot update dataset .*Must keep PRICE"):
        hook.update_or_adopt(DATASET, request)


def test_a_resource_without_updates_is_a_mistake_of_the_caller(hook):
    with pytest.raises(ValueError, match="no operation to update a filter"):
        hook.update_or_adopt(FILTER, {"filterArn": "f"})


def test_deletes_what_is_there_and_nothing_else(hook, aws_json_server):
    aws_json_server.on("DescribeSchema", {"schema": {"name": "s"}})
    aws_json_server.on("DeleteSchema", {})
    assert hook.delete(SCHEMA, PREFIX + "schema/s") is True
    assert aws_json_server.requests("DeleteSchema") == [{"schemaArn": PREFIX + "schema/s"}]
    aws_json_server.on("DescribeSchema", aws_json_server.refusal("ResourceNotFoundException"))
    assert hook.delete(SCHEMA, PREFIX + "schema/s") is False
    assert len(aws_json_server.requests("DeleteSchema")) == 1


def test_adopts_a_deletion_under_way(hook, aws_json_server):
    aws_json_server.on("DescribeFilter", {"filter": {"status": "DELETE_PENDING"}})
    assert hook.delete(FILTER, PREFIX + "filter/f") is True
    assert aws_json_server.requests("DeleteFilter") == []


def test_asks_again_for_a_deletion_that_failed(hook, aws_json_server):
    aws_json_server.on("DescribeCampaign", {"campaign": {"status": "DELETE FAILED"}})
    aws_json_server.on("DeleteCampaign", {})
    assert hook.delete(CAMPAIGN, PREFIX + "campaign/c") is True
    assert aws_json_server.requests("DeleteCampaign") == [{"campaignArn": PREFIX + "campaign/c"}]


def test_what_went_while_we_looked_is_gone(hook, aws_json_server):
    aws_json_server.on("DescribeFilter", {"filter": {"status": "ACTIVE"}})
    aws_json_server.on("DeleteFilter", aws_json_server.refusal("ResourceNotFoundException"))
    assert hook.delete(FILTER, PREFIX + "filter/f") is True


def test_what_is_in_use_is_worth_a_retry(hook, aws_json_server):
    aws_json_server.on("DescribeFilter", {"filter": {"status": "ACTIVE"}})
    aws_json_server.on("DeleteFilter", aws_json_server.refusal("ResourceInUseException", "A job uses it."))
    with pytest.raises(PersonalizeRetriableError, match=r"Cannot delete filter .*A job uses it"):
        hook.delete(FILTER, PREFIX + "filter/f")


@pytest.mark.parametrize(
    ("status", "stops", "goes_on"),
    [
        ("CREATE PENDING", 1, True),
        ("CREATE_IN_PROGRESS", 1, True),
        ("CREATE STOPPING", 0, True),
        ("CREATE STOPPED", 0, False),
        ("ACTIVE", 0, False),
        ("CREATE FAILED", 0, False),
    ],
)
def test_stops_only_what_runs(hook, aws_json_server, status, stops, goes_on):
    aws_json_server.on("DescribeSolutionVersion", {"solutionVersion": {"status": status}})
    aws_json_server.on("StopSolutionVersionCreation", {})
    assert hook.stop_if_running(VERSION) is goes_on
    assert len(aws_json_server.requests("StopSolutionVersionCreation")) == stops


@pytest.mark.parametrize(
    ("verb", "status", "calls", "goes_on"),
    [
        ("stop", "ACTIVE", 1, True),
        ("stop", "STOP PENDING", 0, True),
        ("stop", "STOP_IN_PROGRESS", 0, True),
        ("stop", "INACTIVE", 0, False),
        ("stop", "STOP FAILED", 1, True),
        ("start", "INACTIVE", 1, True),
        ("start", "START IN PROGRESS", 0, True),
        ("start", "START FAILED", 1, True),
        ("start", "ACTIVE", 0, False),
    ],
)
def test_a_recommender_is_started_and_stopped_once(hook, aws_json_server, verb, status, calls, goes_on):
    arn = PREFIX + "recommender/for-you"
    aws_json_server.on("DescribeRecommender", {"recommender": {"status": status}})
    aws_json_server.on(f"{verb.title()}Recommender", {"recommenderArn": arn})
    assert getattr(hook, f"{verb}_recommender")(arn) is goes_on
    assert aws_json_server.requests(f"{verb.title()}Recommender") == [{"recommenderArn": arn}] * calls


def test_a_recommender_that_is_busy_otherwise_is_worth_a_retry(hook, aws_json_server):
    aws_json_server.on("DescribeRecommender", {"recommender": {"status": "STOP PENDING"}})
    aws_json_server.on(
        "StartRecommender", aws_json_server.refusal("ResourceInUseException", "It is stopping.")
    )
    with pytest.raises(PersonalizeRetriableError, match=r"Cannot start recommender .*It is stopping"):
        hook.start_recommender(PREFIX + "recommender/for-you")


def test_an_adopted_resource_gets_only_the_tags_it_lacks(hook, aws_json_server):
    held = [{"tagKey": "team", "tagValue": "mail"}, {"tagKey": "cost", "tagValue": "7"}]
    aws_json_server.on("ListTagsForResource", {"tags": held})
    aws_json_server.on("TagResource", {})
    hook.ensure_tags(GROUP, {"team": "mail", "cost": "8", "new": "1"})
    (request,) = aws_json_server.requests("TagResource")
    assert request["tags"] == [{"tagKey": "cost", "tagValue": "8"}, {"tagKey": "new", "tagValue": "1"}]
    hook.ensure_tags(GROUP, {"team": "mail"})
    assert len(aws_json_server.requests("TagResource")) == 1
