"""How large on S3 what is billed is: bytes that are imported, lines that are asked about, users that are found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from recsync.context import StageContext
from recsync.program import DatasetType
from recsync.storage.bucket import Bucket
from recsync.storage.segment_output import parse_answer

_READ_BYTES = 1_000_000
_SCHEME = "s3://"
_EVENTS = DatasetType.INTERACTIONS


def imported_bytes(context: StageContext, uri: str) -> int:
    """Sum up the objects that an import of a location reads: one object, or the first level of a folder.

    :returns: 0 when they are gone.
    """
    bucket, key = _located(context, uri)
    if key.endswith("/"):
        return sum(entry["Size"] for entry in bucket.listed(key, first_level=True))
    return bucket.size_bytes(key) or 0


def lines(context: StageContext, uri: str) -> int:
    """Count the lines of a job's input; 0 when it is gone."""
    bucket, key = _located(context, uri)
    return sum(1 for _ in _lines(bucket, key)) if bucket.etag(key) else 0


def answered_lines(context: StageContext, uri: str) -> int | None:
    """Count the lines of a batch inference job's output that hold an answer; None when it is gone."""
    bucket, prefix = _located(context, uri)
    outputs = [key for key in bucket.keys(prefix) if key.endswith(".out")]
    if not outputs:
        return None
    return sum(1 for key in outputs for line in _lines(bucket, key) if _is_answer(line))


def _is_answer(line: bytes) -> bool:
    # The service's own spelling; parsing a million long lines takes half a minute.
    if line.endswith(b'"error":null}'):
        return True
    try:
        return not json.loads(line).get("error")
    except ValueError:
        # What was cut short on the way to S3 was answered, and billed.
        return True


def segment_users(context: StageContext, uri: str) -> int:
    """Count the users in the output of a batch segment job."""
    bucket, prefix = _located(context, uri)
    outputs = [key for key in bucket.keys(prefix) if key.endswith(".out")]
    found = 0
    for key in outputs:
        found += sum(len(answer[1]) for answer in map(parse_answer, _lines(bucket, key)) if answer)
    return found


def rows_of_full(context: StageContext, before: datetime | None = None) -> int | None:
    """Give the interactions of the newest FULL snapshot; None before the first.

    :param before: the newest whose run was created by then.
    """
    stamp = f"{(before or datetime.now(UTC)).astimezone(UTC):%Y%m%dT%H%M%S}"
    suffix, prefix = "/manifest.json", context.keys.all_full
    runs = [key.removeprefix(prefix) for key in context.bucket.keys(prefix) if key.endswith(suffix)]
    runs = [run for run in runs if run[: len(stamp)] <= stamp]
    if not runs:
        return None
    objects = context.bucket.get_json(context.keys.full_manifest(runs[-1].removesuffix(suffix)))["objects"]
    return int(objects[_EVENTS.value]["rows"]) if _EVENTS.value in objects else None


def _located(context: StageContext, uri: str) -> tuple[Bucket, str]:
    name, _, key = uri.removeprefix(_SCHEME).partition("/")
    return Bucket(context.bucket.client, name), key


def _lines(bucket: Bucket, key: str) -> Iterator[bytes]:
    stream, rest = bucket.stream(key), b""
    while data := stream.read(_READ_BYTES):
        *whole, rest = (rest + data).split(b"\n")
        yield from filter(None, whole)
    if rest:
        yield rest
