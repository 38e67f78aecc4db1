"""Import CSV objects from S3 into a dataset."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from personalize_local.attribution import (
    as_csv,
    attribution_of,
    figures,
    items_for,
    report_name,
    send_to_cloudwatch,
)
from personalize_local.datasets.avro import DatasetSchema, parse_schema
from personalize_local.datasets.csv_rows import read_csv_objects
from personalize_local.datasets.parquet import merges_on_import, read_parts, without_repeats, write_rows
from personalize_local.errors import JobFailed
from personalize_local.jobs.dataset_files import dataset_of, has_earlier, schema_text_of
from personalize_local.jobs.job import Job, JobContext
from personalize_local.jobs.workers import Task
from personalize_local.meter import INGESTED_BYTES
from personalize_local.resources import DATA_DELETION_JOB, DATASET_IMPORT_JOB, Resource
from personalize_local.s3 import Location, connect, failing_with, keys_under, read_object

_INVALID_LOCATION = "Invalid Data location."
# Failure reasons that the service prefixes with a sentence.
_WITH_PREFIX = ("Insufficient privileges", "Input CSV is missing")
_INTERACTIONS = "INTERACTIONS"


class DatasetImport(Job):
    """FULL replaces the dataset's bulk rows; INCREMENTAL adds to them, by id for items and users."""

    heavy = True

    def must_wait(self, context: JobContext, resource: Resource) -> bool:
        """Wait for earlier imports and deletions of the dataset."""
        dataset = context.store.get(str(resource.parent_arn))
        group_arn = dataset.parent_arn if dataset else None
        return has_earlier(context.store, resource, DATASET_IMPORT_JOB, resource.parent_arn) or has_earlier(
            context.store, resource, DATA_DELETION_JOB, group_arn
        )

    def begin(self, context: JobContext, resource: Resource) -> Task:
        """Read and check the rows, and write them to a new file."""
        dataset = dataset_of(context.store, resource)
        return Task(
            import_objects,
            {
                "uri": resource.body["dataSource"]["dataLocation"],
                "region": resource.region,
                "schema_text": schema_text_of(context.store, dataset.body["schemaArn"]),
                "merge_into": dataset.internal["parts"] if _merges(resource, dataset) else [],
                "path": context.storage.new_dataset_file(),
                "min_interactions": context.min_import_interactions,
                "report": _report(context, resource, dataset),
            },
        )

    def finish(self, context: JobContext, resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Add the file to the dataset."""
        dataset = dataset_of(context.store, resource)
        former = [] if resource.body["importMode"] == "FULL" else dataset.internal["parts"]
        kept = [part for part in former if part not in result["merged"]]
        dataset.internal["parts"] = [*kept, result["path"]]
        context.store.save(dataset)
        context.store.meter(INGESTED_BYTES, result["bytes"])
        if result["figures"] and resource.body["importMode"] == "INCREMENTAL":
            attribution = attribution_of(context.store, str(dataset.parent_arn))
            name = attribution.body["name"] if attribution else "deleted"
            send_to_cloudwatch(context.storage.root, name, result["figures"], time.time())


def import_objects(
    uri: str,
    region: str,
    schema_text: str,
    merge_into: list[str],
    path: str,
    min_interactions: int,
    report: dict[str, Any] | None,
) -> dict[str, Any]:
    """Write the rows of all CSV objects at a location, merged with earlier ones, to `path`; raise `JobFailed`.

    :param report: of the metric attribution: `metrics`, `items` (files), and `location` to write it to, or None.
    """
    schema = parse_schema(schema_text)
    try:
        table, size_bytes = _read(uri, region, schema)
    except JobFailed as failure:
        raise JobFailed(_as_the_service_says(str(failure), schema.dataset_type)) from failure
    if schema.dataset_type == _INTERACTIONS and table.num_rows < min_interactions:
        # The quota page names the minimum; the service's message is not known.
        raise JobFailed(
            f"The minimum number of item interactions records per dataset import job is {min_interactions}. "
            f"The input has {table.num_rows}."
        )
    if merge_into:
        former = read_parts(merge_into, schema.dataset_type)
        table = pa.concat_tables([former, table])
    rows = without_repeats(table, schema.dataset_type)
    write_rows(rows, path)
    found = figures(rows, report["metrics"], report["items"]) if report else []
    if report and report["location"]:
        location = Location.parse(report["location"])
        with failing_with("Invalid S3 output path"):
            body = as_csv(found).encode()
            connect(region).put_object(Bucket=location.bucket, Key=location.key, Body=body)
    return {"path": path, "merged": merge_into, "bytes": size_bytes, "figures": found}


def _report(context: JobContext, resource: Resource, dataset: Resource) -> dict[str, Any] | None:
    """Return what a report of the import needs; None when nothing counts its rows."""
    group = str(dataset.parent_arn)
    attribution = attribution_of(context.store, group)
    if attribution is None or dataset.body["datasetType"] != _INTERACTIONS:
        return None
    metrics = attribution.internal["metrics"]
    path = attribution.body["metricsOutputConfig"].get("s3DataDestination", {}).get("path")
    location = None
    if path and resource.body["publishAttributionMetricsToS3"]:
        name = report_name(resource.body["importMode"], resource.body["creationDateTime"])
        location = f"{path.rstrip('/')}/{name}"
    return {"metrics": metrics, "items": items_for(context.store, group, metrics), "location": location}


def _read(uri: str, region: str, schema: DatasetSchema) -> tuple[pa.Table, int]:
    """Return the rows of all objects, and their size in bytes."""
    location = Location.parse(uri)
    client = connect(region)
    with failing_with(_INVALID_LOCATION):
        keys = _keys(client, location)
        sizes: list[int] = []

        def contents() -> Iterator[bytes]:
            for key in keys:
                content = read_object(client, location.bucket, key)
                sizes.append(len(content))
                yield content

        return read_csv_objects(contents(), schema), sum(sizes)


def _as_the_service_says(reason: str, dataset_type: str) -> str:
    if reason.startswith(_WITH_PREFIX):
        return f"Failed to create a data import job for {dataset_type} dataset. {reason}"
    return reason


def _keys(client: Any, location: Location) -> list[str]:
    if location.key and not location.key.endswith("/"):
        return [location.key]
    keys = keys_under(client, location, first_level_only=True)
    if not keys:
        raise JobFailed(_INVALID_LOCATION)
    return keys


def _merges(resource: Resource, dataset: Resource) -> bool:
    """Return whether an import merges its rows into the bulk file.

    Only before anything was streamed: the age of a file decides which row of an id is newer, and merging would make old
    bulk rows newer than streamed ones.
    """
    return (
        resource.body["importMode"] == "INCREMENTAL"
        and merges_on_import(dataset.body["datasetType"])
        and not dataset.internal.get("put_parts")
    )
