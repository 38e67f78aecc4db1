"""Data deletion jobs: users leave all datasets of a group, also those that were streamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest

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
