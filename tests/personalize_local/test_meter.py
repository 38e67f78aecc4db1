"""GET /_local/meter: what the service would bill, through restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from personalize_local.server import Server

ZERO = {
    "ingested_bytes": 0,
    "training_hours": 0,
    "trained_interactions": 0,
    "batch_recommendations": 0,
    "batch_segment_users": 0,
    "campaign_tps_hours": 0,
    "recommender_rps_hours": 0,
}


def meter(server: Server) -> dict[str, float]:
    return dict(requests.get(f"{server.url}/_local/meter", timeout=10).json())


@pytest.fixture
def metered(
    start_server: Callable[..., Server], make_world: Callable[..., Any], checkerboard_csv: str
) -> tuple[Server, Any, str]:
    """Return a server of the test's own with the checkerboard in a dataset group."""
    server = start_server()
    world = make_world(server.url)
    assert meter(server) == ZERO
    dataset = world.dataset(world.group())
    assert world.import_csv(dataset, checkerboard_csv)["status"] == "ACTIVE"
    return server, world, world.describe("Dataset", dataset)["datasetGroupArn"]


def test_imports_trainings_and_batch_jobs_are_billed_once_and_kept(
    metered: tuple[Server, Any, str], start_server: Callable[..., Server], checkerboard_csv: str
) -> None:
    server, world, group = metered
    version = world.train(world.solution(group))
    source = world.put("meter/in.json", '{"userId":"u1"}\n{"userId":"u2"}\n{"wrong":1}\n')
    arn = world.start_batch(version["solutionVersionArn"], source, "s3://personalize-local-tests/meter-out/")
    assert world.wait("BatchInferenceJob", arn)["status"] == "ACTIVE"
    expected = ZERO | {
        "ingested_bytes": len(checkerboard_csv.encode()),
        "training_hours": pytest.approx(version["trainingHours"]),
        "batch_recommendations": 2,
    }
    assert version["trainingHours"] > 0
    assert meter(server) == expected
    server.close()
    assert meter(start_server()) == expected


def test_v2_recipes_are_billed_by_interactions_before_filtering(metered: tuple[Server, Any, str]) -> None:
    server, world, group = metered
    some = [{"eventType": "buy"}, {"eventType": "view", "eventValueThreshold": 8}]
    views = {"eventsConfig": {"eventParametersList": some}}
    version = world.train(world.solution(group, "aws-user-personalization-v2", solutionConfig=views))
    assert version["status"] == "ACTIVE"
    found = meter(server)
    assert (found["trained_interactions"], found["training_hours"]) == (1200, 0)


def test_what_failed_costs_nothing(metered: tuple[Server, Any, str], checkerboard_csv: str) -> None:
    server, world, group = metered
    before = meter(server)
    assert world.train(world.solution(group, eventType="none-such"))["status"] == "CREATE FAILED"
    dataset = world.personalize.list_datasets(datasetGroupArn=group)["datasets"][0]["datasetArn"]
    wrong = checkerboard_csv.replace("ITEM_ID", "ITEM")
    assert world.import_csv(dataset, wrong)["status"] == "CREATE FAILED"
    assert meter(server) == before


def test_a_stopped_training_is_billed_for_what_it_ran(
    start_server: Callable[..., Server], make_world: Callable[..., Any], checkerboard_csv: str
) -> None:
    server = start_server(time_scale=0.2)
    world = make_world(server.url)
    dataset = world.dataset(world.group())
    world.import_csv(dataset, checkerboard_csv)
    solution = world.solution(world.describe("Dataset", dataset)["datasetGroupArn"])
    arn = world.personalize.create_solution_version(solutionArn=solution)["solutionVersionArn"]
    while world.describe("SolutionVersion", arn)["status"] != "CREATE IN_PROGRESS":
        pass
    world.personalize.stop_solution_version_creation(solutionVersionArn=arn)
    stopped = world.wait("SolutionVersion", arn)
    assert stopped["status"] == "CREATE STOPPED"
    assert stopped["trainingHours"] > 0
    assert meter(server)["training_hours"] == pytest.approx(stopped["trainingHours"])


def test_a_campaign_is_billed_for_as_long_as_it_serves(metered: tuple[Server, Any, str]) -> None:
    server, world, group = metered
    version = world.train(world.solution(group, "aws-popularity-count"))
    arn = world.personalize.create_campaign(
        name=world.name("campaign"),
        solutionVersionArn=version["solutionVersionArn"],
        minProvisionedTPS=3,
    )["campaignArn"]
    world.wait("Campaign", arn)
    first, second = meter(server)["campaign_tps_hours"], meter(server)["campaign_tps_hours"]
    assert 0 < first < second
    world.personalize.delete_campaign(campaignArn=arn)
    world.wait_gone(lambda: world.personalize.list_campaigns()["campaigns"])
    ended = meter(server)["campaign_tps_hours"]
    assert ended > second
    assert meter(server)["campaign_tps_hours"] == ended
