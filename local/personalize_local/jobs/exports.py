"""Export a dataset from the server to S3 as CSV."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa

from personalize_local.datasets.csv_rows import write_csv
from personalize_local.datasets.parquet import DatasetParts, empty_rows, read_parts, without_repeats
from personalize_local.jobs.dataset_files import all_parts, dataset_of, schema_text_of
from personalize_local.jobs.job import Job, JobContext
from personalize_local.jobs.workers import Task
from personalize_local.resources import Resource
from personalize_local.s3 import Location, connect, failing_with

_INVALID_OUTPUT = "Invalid S3 output path"


class DatasetExport(Job):
    """Write bulk rows (BULK), streamed rows (PUT) or both (ALL), without duplicates."""

    heavy = True

    def begin(self, context: JobContext, resource: Resource) -> Task:
        """Export the current rows."""
        dataset = dataset_of(context.store, resource)
        output = resource.body["jobOutput"]["s3DataDestination"]["path"]
        schema_text = schema_text_of(context.store, dataset.body["schemaArn"])
        return Task(
            export_rows,
            {
                "dataset": DatasetParts(tuple(_parts(dataset, resource.body["ingestionMode"])), schema_text),
                "uri": f"{output.rstrip('/')}/{resource.body['jobName']}.csv",
                "region": resource.region,
                "scratch": str(context.storage.scratch),
            },
        )


def export_rows(dataset: DatasetParts, uri: str, region: str, scratch: str) -> None:
    """Write the rows of the files as one CSV object; raise `JobFailed` for S3 errors."""
    path = Path(scratch) / f"{uuid.uuid4().hex}.csv"
    write_csv(_rows(dataset), path)
    location = Location.parse(uri)
    with failing_with(_INVALID_OUTPUT), path.open("rb") as content:
        # upload_file would hide S3's error code in its message.
        connect(region).upload_fileobj(content, location.bucket, location.key)
    path.unlink()


def _rows(dataset: DatasetParts) -> pa.Table:
    schema = dataset.schema
    if not dataset.parts:
        return empty_rows(schema)
    table = read_parts(dataset.parts, schema.dataset_type, schema.names)
    return without_repeats(table, schema.dataset_type)


def _parts(dataset: Resource, mode: str) -> list[str]:
    if mode == "ALL":
        return all_parts(dataset)
    parts: list[Any] = dataset.internal.get({"BULK": "parts", "PUT": "put_parts"}[mode], [])
    return parts
