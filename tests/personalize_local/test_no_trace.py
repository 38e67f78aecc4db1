"""After a data deletion job no file of the data folder holds the user, searched byte by byte."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from personalize_local.server import Server

SECRET = "u-secret-person-4711"
USERS = {
    "type": "record",
    "name": "Users",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "CITY", "type": "string", "categorical": True},
    ],
}
RECIPES = ("aws-user-personalization", "aws-item-affinity", "aws-similar-items", "aws-sims")


def holds(path: Path, text: str) -> bool:
    """Search a file as it is, and decompressed where it is a Parquet or zip file."""
    content, wanted = path.read_bytes(), text.encode()
    if wanted in content:
        return True
    if path.suffix == ".parquet":
        return text in str(pq.read_table(path).to_pydict())
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(path) as archive:
            return any(wanted in archive.read(name) for name in archive.namelist())
    return False


def traces(folder: Path, text: str = SECRET) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and holds(p, text)]


def lists(world: Any, version: dict[str, Any], lines: str, kind: str = "inference") -> dict[str, Any]:
    """Run a batch job over the lines, and return its outputs by the input's id."""
    name = world.name("trace")
    source = world.put(f"{name}/in.json", lines)
    destination = f"s3://{world.bucket}/{name}-out/"
    if kind == "inference":
        arn = world.start_batch(version["solutionVersionArn"], source, destination)
        assert world.wait("BatchInferenceJob", arn)["status"] == "ACTIVE"
    else:
        arn = world.personalize.create_batch_segment_job(
            jobName=name,
            solutionVersionArn=version["solutionVersionArn"],
            jobInput={"s3DataSource": {"path": source}},
            jobOutput={"s3DataDestination": {"path": destination}},
            roleArn="arn:aws:iam::000000000000:role/PersonalizeRole",
        )["batchSegmentJobArn"]
        assert world.wait("BatchSegmentJob", arn)["status"] == "ACTIVE"
    written = [json.loads(line) for line in world.read(f"{name}-out/in.json.out").splitlines()]
    return {next(iter(each["input"].values())): each["output"] for each in written}


@pytest.fixture
def shop(
    start_server: Callable[..., Server], make_world: Callable[..., Any], checkerboard_csv: str
) -> tuple[Any, str]:
    """Return a driver and a dataset group in which one user is called SECRET."""
    server = start_server()
    world = make_world(server.url)
    group = world.group()
    world.import_csv(world.dataset(group), checkerboard_csv.replace("u7,", f"{SECRET},"))
    rows = "".join(f"u{number},Rome\n" for number in range(60))
    world.import_csv(world.dataset(group, USERS), f"USER_ID,CITY\n{SECRET},Rome\n{rows}")
    return world, group


def forget(world: Any, group: str) -> dict[str, Any]:
    location = world.put(f"forget/{world.name('ids')}.csv", f"USER_ID\n{SECRET}\n")
    arn = world.personalize.create_data_deletion_job(
        jobName=world.name("deletion"),
        datasetGroupArn=group,
        dataSource={"dataLocation": location},
        roleArn="arn:aws:iam::000000000000:role/PersonalizeRole",
    )["dataDeletionJobArn"]
    return dict(world.wait("DataDeletionJob", arn))


def test_nothing_is_left_in_any_file(shop: tuple[Any, str], tmp_path: Path) -> None:
    world, group = shop
    events = boto3.client(
        "personalize-events",
        endpoint_url=world.url,
        region_name=world.region,
        config=Config(retries={"max_attempts": 0}),
    )
    runtime = boto3.client("personalize-runtime", endpoint_url=world.url, region_name=world.region)
    tracker = world.personalize.create_event_tracker(name=world.name("tracker"), datasetGroupArn=group)
    world.wait("EventTracker", tracker["eventTrackerArn"])

    def stream() -> None:
        events.put_events(
            trackingId=tracker["trackingId"],
            userId=SECRET,
            sessionId="session",
            eventList=[
                {"sentAt": 1_700_100_000, "eventType": "buy", "itemId": f"i{number}"} for number in range(5)
            ],
        )

    stream()
    versions = {recipe: world.train(world.solution(group, recipe)) for recipe in RECIPES}
    assert {version["status"] for version in versions.values()} == {"ACTIVE"}
    campaign = world.personalize.create_campaign(
        name=world.name("campaign"),
        solutionVersionArn=versions["aws-user-personalization"]["solutionVersionArn"],
    )["campaignArn"]
    world.wait("Campaign", campaign)
    runtime.get_recommendations(campaignArn=campaign, userId=SECRET)
    lines = f'{{"userId":"{SECRET}"}}\n{{"userId":"u8"}}\n'
    before = lists(world, versions["aws-user-personalization"], lines)
    items = "".join(f'{{"itemId":"i{number}"}}\n' for number in range(50))
    assert SECRET in str(lists(world, versions["aws-item-affinity"], items, "segment"))
    stream()
    assert traces(tmp_path)

    deleted = forget(world, group)
    assert (deleted["status"], deleted["numDeleted"] >= 26) == ("COMPLETED", True)
    assert traces(tmp_path) == []

    after = lists(world, versions["aws-user-personalization"], lines)
    stranger = lists(world, versions["aws-user-personalization"], '{"userId":"nobody"}\n')
    assert after["u8"] == before["u8"], "others keep their lists"
    assert after[SECRET] == stranger["nobody"], "the user is new to the model"
    assert SECRET not in str(lists(world, versions["aws-item-affinity"], items, "segment"))
    assert "None" not in str(lists(world, versions["aws-item-affinity"], items, "segment"))
    assert runtime.get_recommendations(campaignArn=campaign, userId="u8")["itemList"]
    update = world.train(versions["aws-user-personalization"]["solutionArn"], trainingMode="UPDATE")
    assert update["status"] == "ACTIVE"
    assert traces(tmp_path) == []


def test_a_training_asked_for_after_a_deletion_learns_without_the_user(
    shop: tuple[Any, str], tmp_path: Path
) -> None:
    world, group = shop
    solution = world.solution(group)
    first = world.personalize.create_solution_version(solutionArn=solution)["solutionVersionArn"]
    location = world.put("forget/race.csv", f"USER_ID\n{SECRET}\n")
    deletion = world.personalize.create_data_deletion_job(
        jobName=world.name("deletion"),
        datasetGroupArn=group,
        dataSource={"dataLocation": location},
        roleArn="arn:aws:iam::000000000000:role/PersonalizeRole",
    )["dataDeletionJobArn"]
    second = world.personalize.create_solution_version(solutionArn=solution)["solutionVersionArn"]
    assert world.wait("SolutionVersion", first)["status"] == "ACTIVE"
    assert world.wait("DataDeletionJob", deletion)["status"] == "COMPLETED"
    assert world.wait("SolutionVersion", second)["status"] == "ACTIVE"
    assert traces(tmp_path) == []
