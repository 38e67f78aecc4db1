"""Recommenders: what is refused, their states and quotas, and what a stop and a restart of the server leave."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

ARN = "arn:aws:personalize:::recipe/"
VIEWS = f"{ARN}aws-ecomm-popular-items-by-views"
FOR_YOU = f"{ARN}aws-ecomm-recommended-for-you"
FIELDS = {"USER_ID": "string", "ITEM_ID": "string", "EVENT_TYPE": "string", "TIMESTAMP": "long"}
INTERACTIONS = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [{"name": name, "type": kind} for name, kind in FIELDS.items()],
}


def views_csv(event: str = "View") -> str:
    rows = ",".join(FIELDS)
    for user, step in itertools.product(range(60), range(20)):
        rows += f"\nu{user},i{(user % 2) + 2 * ((user + step * 3) % 25)},{event},{1_700_000_000 + user * 99 + step}"
    return f"{rows}\n"


def make_group(world: Any, rows: str | None = None) -> str:
    """Return a dataset group of the domain ECOMMERCE; with rows, also its Interactions dataset."""
    name, personalize = world.name("domain"), world.personalize
    group = personalize.create_dataset_group(name=name, domain="ECOMMERCE")["datasetGroupArn"]
    world.wait("DatasetGroup", group)
    if rows is not None:
        schema = personalize.create_schema(name=name, schema=json.dumps(INTERACTIONS), domain="ECOMMERCE")
        dataset = personalize.create_dataset(
            name=name, schemaArn=schema["schemaArn"], datasetGroupArn=group, datasetType="Interactions"
        )["datasetArn"]
        world.wait("Dataset", dataset)
        assert world.import_csv(dataset, rows)["status"] == "ACTIVE"
    return str(group)


def create(world: Any, group: str, recipe: str = VIEWS, **config: Any) -> str:
    reply = world.personalize.create_recommender(
        name=world.name("recommender"), datasetGroupArn=group, recipeArn=recipe, recommenderConfig=config
    )
    return str(reply["recommenderArn"])


@pytest.fixture(scope="module")
def group(world: Any) -> str:
    """Return a dataset group with 1200 views."""
    return make_group(world, views_csv())


@pytest.mark.parametrize(
    ("recipe", "config", "told"),
    [
        (f"{ARN}aws-sims", {}, "aws-sims is not a domain use case: create a solution with it"),
        (f"{ARN}aws-vod-most-popular", {}, "requires a dataset group of the domain VIDEO_ON_DEMAND"),
        (
            VIEWS,
            {"itemExplorationConfig": {"explorationWeight": "0.1"}},
            "itemExplorationConfig is not supported",
        ),
        (
            FOR_YOU,
            {"itemExplorationConfig": {"explorationWeight": "2"}},
            "explorationWeight must be a number",
        ),
        (
            FOR_YOU,
            {"trainingDataConfig": {"includedDatasetColumns": {"INTERACTIONS": ["NONE"]}}},
            "dataset has no column NONE",
        ),
    ],
)
def test_what_a_use_case_does_not_support_is_refused(
    world: Any, group: str, refused: Callable[..., Any], recipe: str, config: dict[str, Any], told: str
) -> None:
    error = refused(create, world=world, group=group, recipe=recipe, **config)
    assert error.code == "InvalidInputException"
    assert told in error.message


def test_a_domain_and_its_datasets_are_required(world: Any, refused: Callable[..., Any]) -> None:
    assert "The domain of" in refused(create, world=world, group=world.group()).message
    error = refused(create, world=world, group=make_group(world))
    assert "has no active dataset of type INTERACTIONS" in error.message


def test_too_few_events_of_the_use_case_fail_the_creation(world: Any) -> None:
    group = make_group(world, views_csv("Purchase"))
    for recipe in (VIEWS, FOR_YOU):
        found = world.wait("Recommender", create(world, group, recipe))
        assert found["status"] == "CREATE FAILED"
        assert "fewer than 1000 interactions after filtering by event type: View" in found["failureReason"]


def test_a_name_and_a_group_are_kept_while_they_are_used(
    world: Any, group: str, refused: Callable[..., Any]
) -> None:
    arn = create(world, group)
    name = world.wait("Recommender", arn)["name"]
    again = refused(world.personalize.create_recommender, name=name, datasetGroupArn=group, recipeArn=VIEWS)
    assert again.code == "ResourceAlreadyExistsException"
    used = refused(world.personalize.delete_dataset_group, datasetGroupArn=group)
    assert (used.code, arn in used.message) == ("ResourceInUseException", True)
    listed = world.personalize.list_recommenders(datasetGroupArn=group)["recommenders"]
    assert [each["recommenderArn"] for each in listed] == [arn]
    assert world.describe("Recommender", arn)["modelMetrics"]["coverage"] > 0
    for _ in range(4):
        world.wait("Recommender", create(world, group))
    assert refused(create, world=world, group=group).code == "LimitExceededException"


def test_stop_and_start_go_through_their_states_and_are_refused_in_others(
    start_server: Callable[..., Any], make_world: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    server = start_server(time_scale=0.5)
    world = make_world(server.url)
    arn = create(world, make_group(world, views_csv()), minRecommendationRequestsPerSecond=3)
    seen: list[str] = []
    world.wait("Recommender", arn, seen)
    stop, start = world.personalize.stop_recommender, world.personalize.start_recommender
    assert refused(start, recommenderArn=arn).code == "InvalidInputException"
    assert stop(recommenderArn=arn)["recommenderArn"] == arn
    for operation in (stop, start, world.personalize.delete_recommender):
        assert refused(operation, recommenderArn=arn).code == "ResourceInUseException"
    world.wait("Recommender", arn, seen)
    # A busy machine may not look at each state while it lasts.
    order = ("CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE", "STOP PENDING", "STOP IN_PROGRESS", "INACTIVE")
    assert seen == [status for status in order if status in seen]
    assert {"ACTIVE", "STOP IN_PROGRESS", "INACTIVE"} <= set(seen)
    start(recommenderArn=arn)
    assert world.describe("Recommender", arn)["status"].startswith("START ")
    # A restart of the server resumes the start.
    server.close()
    world = make_world(start_server(time_scale=0.1).url)
    assert world.wait("Recommender", arn)["status"] == "ACTIVE"


def test_a_recommender_is_billed_while_it_is_active(
    start_server: Callable[..., Any], make_world: Callable[..., Any]
) -> None:
    server = start_server()
    world = make_world(server.url)

    def metered() -> float:
        return float(requests.get(f"{server.url}/_local/meter", timeout=10).json()["recommender_rps_hours"])

    arn = create(world, make_group(world, views_csv()))
    world.wait("Recommender", arn)
    first, second = metered(), metered()
    assert 0 < first < second
    world.personalize.stop_recommender(recommenderArn=arn)
    world.wait("Recommender", arn)
    stopped = metered()
    assert stopped > second
    assert metered() == stopped
    world.personalize.start_recommender(recommenderArn=arn)
    world.wait("Recommender", arn)
    assert metered() > stopped
