"""Test data deletion jobs: users leave all datasets of a group, and no file of the data folder contains them."""

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

ROLE = "arn:aws:iam::000000000000:role/PersonalizeRole"
USERS = {
    "type": "record",
    "name": "Users",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [{"name": "USER_ID", "type": "string"}, {"name": "AGE", "type": ["null", "int"]}],
}
HEADER = "USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,TIMESTAMP\n"


@pytest.fixture
def group(world: Any) -> Any:
    """Return a dataset group that is gone after the test."""
    arn = world.group()
    yield arn
    world.remove_group(arn)


def start(world: Any, group: str, location: str) -> str:
    return str(
        world.personalize.create_data_deletion_job(
            jobName=world.name("deletion"),
            datasetGroupArn=group,
            dataSource={"dataLocation": location},
            roleArn=ROLE,
        )["dataDeletionJobArn"]
    )


def users_in(server: Any, dataset: str) -> list[str]:
    internal = server.service._store.get(dataset).internal
    parts = [*internal["parts"], *internal.get("put_parts", [])]
    return sorted(user for part in parts for user in pq.read_table(part)["USER_ID"].to_pylist())


def test_users_leave_all_datasets(world: Any, group: str, fast_server: Any) -> None:
    interactions, users = world.dataset(group), world.dataset(group, USERS)
    world.import_csv(interactions, HEADER + "u1,i1,buy,1,5\nu1,i2,buy,1,6\nu2,i1,buy,1,5\nu3,i1,buy,1,5\n")
    world.import_csv(users, "USER_ID,AGE\nu1,10\nu2,20\n")
    events = boto3.client("personalize-events", endpoint_url=world.url, region_name=world.region)
    events.put_users(
        datasetArn=users,
        users=[
            {"userId": "u3", "properties": json.dumps({"age": 30})},
            {"userId": "u4", "properties": json.dumps({"age": 40})},
        ],
    )
    folder = world.name("gone")
    world.put(f"{folder}/a.csv", "USER_ID\nu1\nnobody\n")
    world.put(f"{folder}/deeper/b.csv", "REASON,USER_ID\nasked,u3\n")
    world.put(f"{folder}/readme.txt", "USER_ID\nu2\n")
    seen: list[str] = []
    job = world.wait("DataDeletionJob", start(world, group, f"s3://{world.bucket}/{folder}/"), seen)
    assert job["status"] == "COMPLETED"
    assert set(seen) <= {"PENDING", "IN_PROGRESS", "COMPLETED"}
    assert job["numDeleted"] == 5
    assert users_in(fast_server, interactions) == ["u2"]
    assert users_in(fast_server, users) == ["u2", "u4"]
    listed = world.personalize.list_data_deletion_jobs(datasetGroupArn=group)["dataDeletionJobs"]
    assert [entry["status"] for entry in listed] == ["COMPLETED"]


def test_one_file_can_be_named(world: Any, group: str, fast_server: Any) -> None:
    interactions = world.dataset(group)
    world.import_csv(interactions, HEADER + "u1,i1,buy,1,5\nu2,i1,buy,1,5\n")
    location = world.put(f"{world.name('one')}.csv", "USER_ID\nu2\n")
    job = world.wait("DataDeletionJob", start(world, group, location))
    assert (job["status"], job["numDeleted"]) == ("COMPLETED", 1)
    assert users_in(fast_server, interactions) == ["u1"]


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("wrong/x.csv", "PERSON\nu1\n", "Input CSV is missing the following columns:[USER_ID]."),
        ("none/x.txt", "USER_ID\nu1\n", "Invalid Data location."),
    ],
)
def test_bad_input_fails_the_job(world: Any, group: str, key: str, text: str, reason: str) -> None:
    world.put(key, text)
    folder = key.split("/", maxsplit=1)[0]
    job = world.wait("DataDeletionJob", start(world, group, f"s3://{world.bucket}/{folder}/"))
    assert (job["status"], job["failureReason"]) == ("FAILED", reason)


def test_at_most_five_at_a_time_pending_per_group(
    start_server: Callable[..., Any], make_world: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    world = make_world(start_server(time_scale=1).url)
    first, second = world.group(), world.group()
    location = world.put("users.csv", "USER_ID\nu1\n")
    jobs = [start(world, first, location) for _ in range(5)]
    assert world.describe("DataDeletionJob", jobs[-1])["status"] == "PENDING"
    error = refused(
        world.personalize.create_data_deletion_job,
        jobName="sixth",
        datasetGroupArn=first,
        dataSource={"dataLocation": location},
        roleArn=ROLE,
    )
    assert error.code == "LimitExceededException"
    start(world, second, location)


def test_a_location_off_s3_is_refused(world: Any, group: str, refused: Callable[..., Any]) -> None:
    error = refused(
        world.personalize.create_data_deletion_job,
        jobName="no",
        datasetGroupArn=group,
        dataSource={},
        roleArn=ROLE,
    )
    assert (error.code, error.message) == ("InvalidInputException", "Invalid Data location.")


SECRET = "u-secret-person-4711"
PERSON_SCHEMA = {
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
def traced_shop(
    start_server: Callable[..., Server], make_world: Callable[..., Any], checkerboard_csv: str
) -> tuple[Any, str]:
    """Return a driver and a dataset group in which one user is called SECRET."""
    server = start_server()
    world = make_world(server.url)
    group = world.group()
    world.import_csv(world.dataset(group), checkerboard_csv.replace("u7,", f"{SECRET},"))
    rows = "".join(f"u{number},Rome\n" for number in range(60))
    world.import_csv(world.dataset(group, PERSON_SCHEMA), f"USER_ID,CITY\n{SECRET},Rome\n{rows}")
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


def test_nothing_is_left_in_any_file(traced_shop: tuple[Any, str], tmp_path: Path) -> None:
    world, group = traced_shop
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
    traced_shop: tuple[Any, str], tmp_path: Path
) -> None:
    world, group = traced_shop
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
