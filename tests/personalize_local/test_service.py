"""The chain a pipeline runs, end to end, and the states it passes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

METRICS = {
    "coverage",
    "mean_reciprocal_rank_at_25",
    "normalized_discounted_cumulative_gain_at_5",
    "normalized_discounted_cumulative_gain_at_10",
    "normalized_discounted_cumulative_gain_at_25",
    "precision_at_5",
    "precision_at_10",
    "precision_at_25",
}


def test_metrics_have_the_keys_and_decimals_of_the_service(shop: Any, trained: dict[str, Any]) -> None:
    for version in trained.values():
        reply = shop.personalize.get_solution_metrics(solutionVersionArn=version["solutionVersionArn"])
        assert set(reply["metrics"]) == METRICS
        assert all(round(value, 4) == value for value in reply["metrics"].values())
        assert reply["metrics"]["coverage"] > 0


def test_a_trained_version_describes_itself_as_the_service_does(
    shop: Any, trained: dict[str, Any], interactions: str
) -> None:
    version = trained["aws-user-personalization"]
    solution = shop.describe("Solution", version["solutionArn"])
    tail = version["solutionVersionArn"].rsplit(":", 1)[1]
    assert tail.removeprefix("solution/") == version["name"]
    assert version["name"].startswith(f"{solution['name']}/")
    assert len(version["name"].rsplit("/", 1)[1]) == 8
    assert version["trainingMode"] == "FULL"
    assert version["trainingType"] == "MANUAL"
    assert version["trainingHours"] > 0
    assert version["performHPO"] is False
    assert version["solutionConfig"] == {}
    assert version["datasetGroupArn"] == shop.describe("Dataset", interactions)["datasetGroupArn"]
    assert solution["latestSolutionVersion"]["solutionVersionArn"] == version["solutionVersionArn"]
    assert solution["performAutoTraining"] is True  # the service's default, when it is omitted
    assert abs(datetime.now(UTC) - version["creationDateTime"]) < timedelta(hours=2)


def test_update_makes_a_new_version_after_a_full_one(
    shop: Any, interactions: str, refused: Callable[..., Any]
) -> None:
    group = shop.describe("Dataset", interactions)["datasetGroupArn"]
    solution = shop.solution(group, performAutoTraining=False)
    create = shop.personalize.create_solution_version
    early = refused(create, solutionArn=solution, trainingMode="UPDATE")
    assert early.code == "InvalidInputException"
    full = shop.train(solution, name="first")
    update = shop.train(solution, trainingMode="UPDATE")
    assert (full["name"], full["status"], update["status"]) == ("first", "ACTIVE", "ACTIVE")
    assert update["trainingMode"] == "UPDATE"
    assert refused(create, solutionArn=solution, name="first").code == "ResourceAlreadyExistsException"
    assert shop.describe("Solution", solution)["performAutoTraining"] is False
    listed = shop.personalize.list_solution_versions(solutionArn=solution)["solutionVersions"]
    assert [entry["trainingMode"] for entry in listed] == ["FULL", "UPDATE"]


def test_states_are_visible_in_their_order(
    start_server: Callable[..., Any], make_world: Callable[..., Any]
) -> None:
    world = make_world(start_server(time_scale=0.3).url)
    group = world.personalize.create_dataset_group(name="g")["datasetGroupArn"]
    states: list[str] = []
    world.wait("DatasetGroup", group, states)
    assert states == ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"]
    dataset = world.dataset(group)
    job = world.start_import(dataset, world.put("states.csv", "USER_ID\n"))
    states = []
    failed = world.wait("DatasetImportJob", job, states)
    assert states == ["CREATE PENDING", "CREATE IN_PROGRESS", "CREATE FAILED"]
    assert failed["failureReason"]


def test_deletes_are_asynchronous_and_end_in_not_found(
    start_server: Callable[..., Any], make_world: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    world = make_world(start_server(time_scale=0.2).url)
    group = world.group()
    dataset = world.dataset(group)
    world.personalize.delete_dataset(datasetArn=dataset)
    assert world.describe("Dataset", dataset)["status"] == "DELETE PENDING"
    busy = refused(world.personalize.delete_dataset_group, datasetGroupArn=group)
    assert busy.code == "ResourceInUseException"
    world.wait_gone(lambda: world.personalize.list_datasets(datasetGroupArn=group)["datasets"])
    gone = refused(world.personalize.describe_dataset, datasetArn=dataset)
    assert gone.code == "ResourceNotFoundException"
    world.personalize.delete_dataset_group(datasetGroupArn=group)
    assert world.describe("DatasetGroup", group)["status"] == "DELETE PENDING"


def test_deleting_a_solution_takes_its_versions_and_models_with_it(
    start_server: Callable[..., Any], make_world: Callable[..., Any], checkerboard_csv: str, tmp_path: Any
) -> None:
    world = make_world(start_server().url)
    group = world.group()
    world.import_csv(world.dataset(group), checkerboard_csv)
    version = world.train(world.solution(group, "aws-popularity-count"))
    assert len(list((tmp_path / "data" / "models").iterdir())) == 1
    world.remove_group(group)
    assert world.personalize.list_solution_versions()["solutionVersions"] == []
    assert list((tmp_path / "data" / "models").iterdir()) == []
    assert list((tmp_path / "data" / "datasets").iterdir()) == []
    assert version["status"] == "ACTIVE"


def test_a_training_can_be_stopped(
    start_server: Callable[..., Any],
    make_world: Callable[..., Any],
    refused: Callable[..., Any],
    checkerboard_csv: str,
) -> None:
    world = make_world(start_server(time_scale=0.3).url)
    group = world.group()
    world.import_csv(world.dataset(group), checkerboard_csv)
    solution = world.solution(group)
    reply = world.personalize.create_solution_version(solutionArn=solution)
    version = reply["solutionVersionArn"]
    metrics = world.personalize.get_solution_metrics
    assert refused(metrics, solutionVersionArn=version).code == "ResourceInUseException"
    assert refused(world.personalize.delete_solution, solutionArn=solution).code == "ResourceInUseException"
    while world.describe("SolutionVersion", version)["status"] != "CREATE IN_PROGRESS":
        pass
    world.personalize.stop_solution_version_creation(solutionVersionArn=version)
    states: list[str] = []
    world.wait("SolutionVersion", version, states)
    assert states == ["CREATE STOPPING", "CREATE STOPPED"]
    stop = world.personalize.stop_solution_version_creation
    assert refused(stop, solutionVersionArn=version).code == "InvalidInputException"
    assert refused(metrics, solutionVersionArn=version).code == "InvalidInputException"
    assert world.train(solution)["status"] == "ACTIVE"
