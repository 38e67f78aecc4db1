"""Export jobs: bulk rows, streamed rows or both, as CSV that can be imported again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

ROLE = "arn:aws:iam::000000000000:role/PersonalizeRole"
ITEMS = {
    "type": "record",
    "name": "Items",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "NOTE", "type": ["null", "string"]},
        {"name": "PRICE", "type": ["null", "float"]},
        {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]},
    ],
}
HEADER = "ITEM_ID,NOTE,PRICE,CREATION_TIMESTAMP\n"


def export(world: Any, dataset: str, mode: str | None = None) -> list[str]:
    """Run an export job and return the lines of its CSV."""
    name = world.name("export")
    options = {"ingestionMode": mode} if mode else {}
    arn = world.personalize.create_dataset_export_job(
        jobName=name,
        datasetArn=dataset,
        roleArn=ROLE,
        jobOutput={"s3DataDestination": {"path": f"s3://{world.bucket}/{name}/"}},
        **options,
    )["datasetExportJobArn"]
    assert arn.endswith(f":dataset-export-job/{name}")
    job = world.wait("DatasetExportJob", arn)
    assert (job["status"], job["ingestionMode"]) == ("ACTIVE", mode or "PUT")
    (key,) = world.keys(f"{name}/")
    assert key.endswith(".csv")
    return str(world.read(key)).splitlines()


def put_item(world: Any, dataset: str, item_id: str, note: str) -> None:
    events = boto3.client("personalize-events", endpoint_url=world.url, region_name=world.region)
    events.put_items(
        datasetArn=dataset, items=[{"itemId": item_id, "properties": json.dumps({"note": note})}]
    )


def test_rows_come_out_as_they_could_go_in(world: Any) -> None:
    dataset = world.dataset(world.group(), ITEMS)
    rows = ['i1,"a, \\"quoted\\" \\\\ note",1.5,100', "i2,,,", "i3,plain,2,7"]
    world.import_csv(dataset, HEADER + "\n".join(rows) + "\n")
    first = export(world, dataset, "BULK")
    assert first == [HEADER.strip(), *rows]
    world.import_csv(dataset, "\n".join(first) + "\n")
    assert export(world, dataset, "BULK") == first


def test_streamed_rows_are_put_and_all_keeps_the_newest_of_each_id(world: Any) -> None:
    dataset = world.dataset(world.group(), ITEMS)
    world.import_csv(dataset, HEADER + "i1,old,,\ni2,bulk,,\n")
    assert export(world, dataset) == [HEADER.strip()]
    put_item(world, dataset, "i1", "new")
    put_item(world, dataset, "i3", "streamed")
    assert [line.split(",")[:2] for line in sorted(export(world, dataset)[1:])] == [
        ["i1", "new"],
        ["i3", "streamed"],
    ]
    everything = {tuple(line.split(",")[:2]) for line in export(world, dataset, "ALL")[1:]}
    assert everything == {("i1", "new"), ("i2", "bulk"), ("i3", "streamed")}
    # An import after the call is newer than the call, and leaves streamed rows where they are.
    world.import_csv(dataset, HEADER + "i1,newest,,\n", "INCREMENTAL")
    everything = {tuple(line.split(",")[:2]) for line in export(world, dataset, "ALL")[1:]}
    assert everything == {("i1", "newest"), ("i2", "bulk"), ("i3", "streamed")}
    assert len(export(world, dataset, "BULK")) == 3
    world.import_csv(dataset, HEADER + "i9,full,,\n")
    everything = {tuple(line.split(",")[:2]) for line in export(world, dataset, "ALL")[1:]}
    assert everything == {("i9", "full"), ("i1", "new"), ("i3", "streamed")}


def test_equal_interactions_are_exported_once(world: Any) -> None:
    dataset = world.dataset(world.group())
    header = "USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,TIMESTAMP"
    world.import_csv(dataset, f"{header}\nu1,i1,buy,1,5\n")
    world.import_csv(dataset, f"{header}\nu1,i1,buy,1,5\nu2,i1,buy,,6\n", "INCREMENTAL")
    lines = export(world, dataset, "ALL")
    assert lines[0] == header
    assert sorted(lines[1:]) == ["u1,i1,buy,1,5", "u2,i1,buy,,6"]


def test_what_cannot_be_exported_is_refused_or_fails(world: Any, refused: Callable[..., Any]) -> None:
    dataset = world.dataset(world.group(), ITEMS)
    create = world.personalize.create_dataset_export_job
    output = {"s3DataDestination": {"path": "https://example.com/"}}
    params = {"jobName": "no", "datasetArn": dataset, "roleArn": ROLE}
    assert refused(create, **params, jobOutput=output).message == "Invalid S3 output path"
    lost = {"s3DataDestination": {"path": "s3://no-such-bucket-at-all/x/"}}
    arn = create(**{**params, "jobName": world.name("lost")}, jobOutput=lost)["datasetExportJobArn"]
    job = world.wait("DatasetExportJob", arn)
    assert (job["status"], job["failureReason"]) == ("CREATE FAILED", "Invalid S3 output path")
    listed = world.personalize.list_dataset_export_jobs(datasetArn=dataset)["datasetExportJobs"]
    assert [entry["failureReason"] for entry in listed] == ["Invalid S3 output path"]
    error = refused(create, **{**params, "jobName": job["jobName"]}, jobOutput=lost)
    assert error.code == "ResourceAlreadyExistsException"


@pytest.mark.parametrize("mode", ["EVERYTHING", "all"])
def test_ingestion_modes_are_checked(world: Any, refused: Callable[..., Any], mode: str) -> None:
    error = refused(
        world.personalize.create_dataset_export_job,
        jobName="no",
        datasetArn=f"arn:aws:personalize:{world.region}:000000000000:dataset/x/ITEMS",
        roleArn=ROLE,
        jobOutput={"s3DataDestination": {"path": "s3://bucket/x/"}},
        ingestionMode=mode,
    )
    assert error.code == "InvalidInputException"
    assert "BULK" in error.message
