"""Trainings: minimum data, event filters, update, and the quota."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

HEADER = "USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,TIMESTAMP\n"


def rows(users: int, per_user: int, event: str = "buy") -> str:
    return "".join(
        f"u{user},i{(user + step) % 40},{event},{step},{1_700_000_000 + user * 100 + step}\n"
        for user in range(users)
        for step in range(per_user)
    )


@pytest.fixture(scope="module")
def dataset(world: Any) -> str:
    """Return the ARN of an Interactions dataset that each test fills anew."""
    return str(world.dataset(world.group()))


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        (rows(30, 33), {}, "Dataset has fewer than 1000 interactions."),
        (
            rows(24, 50),
            {},
            "Create failed. Dataset has fewer than 25 users with at least 2 interactions each.",
        ),
        (rows(30, 2) + rows(4000, 1).replace("\nu", "\nv"), {}, "Create failed. Fewer than 1% of the users"),
        (
            rows(50, 40) + rows(50, 10, "view"),
            {"eventType": "view"},
            "Dataset has fewer than 1000 interactions after filtering by event type: view",
        ),
        (
            rows(50, 40),
            {"eventType": "buy", "solutionConfig": {"eventValueThreshold": "30"}},
            "Dataset has fewer than 1000 interactions after filtering by event type: buy",
        ),
    ],
)
def test_too_little_data_fails_the_training(
    world: Any, dataset: str, text: str, options: dict[str, Any], reason: str
) -> None:
    world.import_csv(dataset, HEADER + text)
    group = world.describe("Dataset", dataset)["datasetGroupArn"]
    version = world.train(world.solution(group, "aws-popularity-count", **options))
    assert version["status"] == "CREATE FAILED"
    assert version["failureReason"].startswith(reason)


def test_a_dataset_without_rows_fails_the_training(world: Any) -> None:
    group = world.group()
    world.dataset(group)
    version = world.train(world.solution(group, "aws-popularity-count"))
    assert version["failureReason"] == "Dataset has fewer than 1000 interactions."


def test_only_the_events_asked_for_are_trained_on(world: Any, dataset: str) -> None:
    """Buys are of items i0..i39, views of items that nobody buys, and cheap buys of one item more."""
    views = rows(60, 20, "view").replace(",i", ",viewed")
    cheap = "".join(f"c{n},cheap,buy,0.5,1700000000\n" for n in range(100))
    world.import_csv(dataset, HEADER + rows(60, 20, "Buy") + rows(60, 20) + views + cheap)
    group = world.describe("Dataset", dataset)["datasetGroupArn"]
    options = {"eventType": "buy", "solutionConfig": {"eventValueThreshold": "1"}}
    version = world.train(world.solution(group, "aws-popularity-count", **options))
    assert version["eventType"] == "buy"
    assert version["solutionConfig"] == {"eventValueThreshold": "1"}
    source = world.put("events/users.json", '{"userId":"nobody"}\n')
    target = f"s3://{world.bucket}/events-out/"
    job = world.start_batch(version["solutionVersionArn"], source, target, numResults=500)
    assert world.wait("BatchInferenceJob", job)["status"] == "ACTIVE"
    text = world.read("events-out/users.json.out")
    assert '"i5"' in text
    assert "viewed" not in text
    assert "cheap" not in text


def test_update_is_refused_for_other_recipes(
    shop: Any, trained: dict[str, Any], refused: Callable[..., Any]
) -> None:
    solution = trained["aws-popularity-count"]["solutionArn"]
    for mode in ("UPDATE", "AUTOTRAIN"):
        error = refused(shop.personalize.create_solution_version, solutionArn=solution, trainingMode=mode)
        assert (error.code, error.http_status) == ("InvalidInputException", 400)


def test_update_brings_new_items_into_the_candidates(world: Any, dataset: str, checkerboard_csv: str) -> None:
    world.import_csv(dataset, checkerboard_csv)
    solution = world.solution(world.describe("Dataset", dataset)["datasetGroupArn"])
    full = world.train(solution)
    lines = [f"u{user},brandnew,buy,1,{1_700_100_000 + user}\n" for user in range(30)]
    world.import_csv(dataset, HEADER + "".join(lines), "INCREMENTAL")
    update = world.train(solution, trainingMode="UPDATE")
    assert update["status"] == "ACTIVE"
    source = world.put("update/users.json", '{"userId":"u40"}\n')
    outputs = {}
    for name, version in (("full", full), ("update", update)):
        target = f"s3://{world.bucket}/update-{name}/"
        job = world.start_batch(version["solutionVersionArn"], source, target, numResults=500)
        assert world.wait("BatchInferenceJob", job)["status"] == "ACTIVE"
        outputs[name] = world.read(f"update-{name}/users.json.out")
    assert "brandnew" not in outputs["full"]
    assert "brandnew" in outputs["update"]


def test_at_most_twenty_trainings_at_a_time(
    start_server: Callable[..., Any], make_world: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    fast = start_server()
    world = make_world(fast.url)
    group = world.group()
    world.dataset(group)
    solution = world.solution(group)
    fast.close()
    slow = make_world(start_server(time_scale=60).url).personalize
    for _ in range(20):
        slow.create_solution_version(solutionArn=solution)
    error = refused(slow.create_solution_version, solutionArn=solution)
    assert error.code == "LimitExceededException"
    assert error.message == "More than 20 resources with PENDING or IN_PROGRESS status."


def test_all_hyperparameters_of_the_recipe_are_taken(shop: Any, interactions: str) -> None:
    config = {
        "algorithmHyperParameters": {"hidden_dimension": "32", "bptt": "20", "recency_mask": "False"},
        "featureTransformationParameters": {
            "min_user_history_length_percentile": "0.01",
            "max_user_history_length_percentile": "0.99",
        },
    }
    group = shop.describe("Dataset", interactions)["datasetGroupArn"]
    version = shop.train(shop.solution(group, solutionConfig=config))
    assert version.get("failureReason") is None
    assert (version["status"], version["solutionConfig"]) == ("ACTIVE", config)


def test_an_update_without_new_data_is_refused_where_the_server_is_told_so(
    start_server: Callable[..., Any],
    make_world: Callable[..., Any],
    refused: Callable[..., Any],
    checkerboard_csv: str,
) -> None:
    world = make_world(start_server(refuse_unchanged_updates=True).url)
    dataset = world.dataset(world.group())
    world.import_csv(dataset, checkerboard_csv)
    solution = world.solution(world.describe("Dataset", dataset)["datasetGroupArn"])
    assert world.train(solution)["status"] == "ACTIVE"
    update = {"solutionArn": solution, "trainingMode": "UPDATE"}
    error = refused(world.personalize.create_solution_version, **update)
    assert error.code == "InvalidInputException"
    assert error.message.startswith("There should be updates to at least one dataset after last active")
    world.import_csv(dataset, checkerboard_csv, "INCREMENTAL")
    assert world.train(solution, trainingMode="UPDATE")["status"] == "ACTIVE"
