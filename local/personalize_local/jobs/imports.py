"""Import CSV objects from S3 into a dataset."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from personalize_local.datasets.avro import parse_schema
from personalize_local.datasets.parquet import merges_on_import, read_parts, without_repeats, write_rows
from personalize_local.datasets.rows import read_csv_objects
from personalize_local.errors import JobFailed
from personalize_local.jobs.job import Job, Surroundings
from personalize_local.jobs.workers import Task
from personalize_local.resources import DATASET_IMPORT_JOB, UNFINISHED, Resource
from personalize_local.s3 import Location, connect, failing_with, keys_under, read_object
from personalize_local.store import Store

_INVALID_LOCATION = "Invalid Data location."


class DatasetImport(Job):
    """FULL replaces the dataset's bulk rows; INCREMENTAL adds to them, by id for items and users."""

    heavy = True

    def must_wait(self, around: Surroundings, resource: Resource) -> bool:
        """Keep the imports of one dataset in the order in which they were asked for."""
        siblings = around.store.select(
            DATASET_IMPORT_JOB.noun, parent_arn=resource.parent_arn, statuses=UNFINISHED
        )
        return any(sibling.sequence < resource.sequence for sibling in siblings)

    def begin(self, around: Surroundings, resource: Resource) -> Task:
        """Read, check and write the rows to a file of this try."""
        dataset = _dataset(around.store, resource)
        schema = around.store.get(dataset.body["schemaArn"])
        if schema is None:
            raise JobFailed(f"The schema {dataset.body['schemaArn']} does not exist any more.")
        merges = resource.body["importMode"] == "INCREMENTAL" and merges_on_import(
            dataset.body["datasetType"]
        )
        return Task(
            import_objects,
            {
                "uri": resource.body["dataSource"]["dataLocation"],
                "region": resource.region,
                "schema_text": schema.body["schema"],
                "merge_into": dataset.internal["parts"] if merges else [],
                "path": around.storage.new_dataset_file(),
            },
        )

    def finish(self, around: Surroundings, resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Make the rows part of the dataset."""
        dataset = _dataset(around.store, resource)
        adds = resource.body["importMode"] == "INCREMENTAL" and not merges_on_import(
            dataset.body["datasetType"]
        )
        dataset.internal["parts"] = [*(dataset.internal["parts"] if adds else []), result]
        around.store.save(dataset)


def import_objects(uri: str, region: str, schema_text: str, merge_into: list[str], path: str) -> str:
    """Write the rows of all CSV objects at a location to `path` and return it; raise `JobFailed`."""
    schema = parse_schema(schema_text)
    location = Location.parse(uri)
    client = connect(region)
    with failing_with(_INVALID_LOCATION):
        keys = _keys(client, location)
        table = read_csv_objects((read_object(client, location.bucket, key) for key in keys), schema)
    if merge_into:
        former = read_parts(merge_into, schema.dataset_type)
        table = pa.concat_tables([former, table])
    write_rows(without_repeats(table, schema.dataset_type), path)
    return path


def _keys(client: Any, location: Location) -> list[str]:
    if location.key and not location.key.endswith("/"):
        return [location.key]
    keys = keys_under(client, location, first_level_only=True)
    if not keys:
        raise JobFailed(_INVALID_LOCATION)
    return keys


def _dataset(store: Store, resource: Resource) -> Resource:
    dataset = store.get(resource.body["datasetArn"])
    if dataset is None:
        raise JobFailed(f"The dataset {resource.body['datasetArn']} does not exist any more.")
    return dataset
