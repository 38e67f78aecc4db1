"""Read records from JSON Lines objects on S3, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from airflow_personalize.errors import PersonalizeFatalError


def json_lines(
    location: str, aws_conn_id: str | None, region_name: str | None, verify: bool | str | None
) -> Iterator[dict[str, Any]]:
    """Yield the records of an object, or of all objects of a folder in the order of their keys.

    :param location: ``s3://`` address; a folder ends in ``/``.
    :raises PersonalizeFatalError: there is no such object, or a line is no JSON object; the message names object
        and line, not what it says.
    """
    s3 = S3Hook(aws_conn_id=aws_conn_id, region_name=region_name, verify=verify)
    bucket, key = S3Hook.parse_s3_url(location)
    # Consoles make empty objects that end in a slash to show folders.
    keys = sorted(each for each in s3.list_keys(bucket, prefix=key) if not each.endswith("/"))
    if not location.endswith("/"):
        keys = [each for each in keys if each == key]
    if not keys:
        raise PersonalizeFatalError(
            f"There is no object at {location}. Correct data_location, or write it first."
        )
    for each in keys:
        body = s3.get_key(each, bucket).get()["Body"]
        for number, line in enumerate(body.iter_lines(), start=1):
            if line.strip():
                yield _record(line, f"s3://{bucket}/{each}, line {number}")


def _record(line: bytes, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise PersonalizeFatalError(f"{place} is not JSON. Write one JSON object a line.") from error
    if not isinstance(record, dict):
        raise PersonalizeFatalError(f"{place} holds no JSON object. Write one JSON object a line.")
    return record
