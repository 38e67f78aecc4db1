"""The objects that a warehouse staged on S3: list, stream, delete."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_personalize.aws_errors import error_code
from recsync.errors import RecsyncError, RetriableError
from recsync.storage.aws_errors import fatal

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_DELETED_AT_ONCE = 1000


@dataclass(frozen=True)
class Part:
    """One object.

    :param size_bytes: what the warehouse says that it wrote; None when it did not say.
    """

    uri: str
    size_bytes: int | None = None


@dataclass(frozen=True)
class Staging:
    """S3, reached through a boto3 client."""

    client: Any

    def sizes(self, prefix: str) -> dict[str, int]:
        """List the objects in a folder and below: URI -> bytes, sorted; a slash that is missing at its end is added."""
        bucket, _ = _split(prefix)
        found = {entry["Key"]: int(entry["Size"]) for entry in self._listed(prefix)}
        return {f"s3://{bucket}/{name}": found[name] for name in sorted(found)}

    def clear(self, prefix: str, *, older_than: timedelta | None = None) -> None:
        """Delete the objects below a URI.

        :param older_than: keep objects that were written less than this time ago. Default: delete all.
        """
        bucket, _ = _split(prefix)
        newest = datetime.now(UTC) - (older_than or timedelta())
        keys = [
            {"Key": entry["Key"]}
            for entry in self._listed(prefix)
            if older_than is None or entry["LastModified"] < newest
        ]
        for first in range(0, len(keys), _DELETED_AT_ONCE):
            batch = {"Objects": keys[first : first + _DELETED_AT_ONCE], "Quiet": True}
            with _errors(prefix, "s3:DeleteObject"):
                answer = self.client.delete_objects(Bucket=bucket, Delete=batch)
            for error in answer.get("Errors", []):
                raise RetriableError(f"S3 did not delete {error.get('Key')}: {error.get('Message')}")

    def _listed(self, prefix: str) -> list[dict[str, Any]]:
        bucket, key = _split(f"{prefix.rstrip('/')}/")
        with _errors(prefix, "s3:ListBucket"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            return [entry for page in pages for entry in page.get("Contents", [])]

    def get_json(self, uri: str) -> Any:
        """Read one JSON document.

        :raises RetriableError: when it is not there, or not JSON.
        """
        with _errors(uri, "s3:GetObject"):
            body = self.open(uri).read()
        try:
            return json.loads(body)
        except ValueError as error:
            raise RetriableError(f"{uri} is no JSON ({error}).") from None

    def open(self, uri: str) -> Any:
        """Open one object."""
        bucket, key = _split(uri)
        with _errors(uri, "s3:GetObject"):
            return self.client.get_object(Bucket=bucket, Key=key)["Body"]


class StagedParts:
    """The bytes of several objects, one after another; each must be as long as the warehouse wrote it."""

    def __init__(self, staging: Staging, parts: Iterable[Part]) -> None:
        self._staging = staging
        self._parts = iter(parts)
        self._part: Part | None = None
        self._body: Any = None
        self._read_bytes = 0

    def read(self, size: int, /) -> bytes:
        """Give at most ``size`` bytes; none at the end.

        :raises RetriableError: when an object is not whole.
        """
        while self._part is not None or self._next():
            part = self._part
            assert part is not None
            with _errors(part.uri, "s3:GetObject"):
                data = bytes(self._body.read(size))
            if data:
                self._read_bytes += len(data)
                return data
            self._end(part)
        return b""

    def _next(self) -> bool:
        self._part = next(self._parts, None)
        if self._part is None:
            return False
        self._body, self._read_bytes = self._staging.open(self._part.uri), 0
        return True

    def _end(self, part: Part) -> None:
        self._body.close()
        if part.size_bytes not in {None, self._read_bytes}:
            raise RetriableError(f"{part.uri} holds {self._read_bytes} bytes of {part.size_bytes}.")
        self._part = None


@contextmanager
def _errors(uri: str, action: str) -> Generator[None]:
    try:
        yield
    except ClientError as error:
        raise _explained(uri, action, error) from None
    except BotoCoreError as error:
        raise _explained(uri, action, error) from None


def _explained(uri: str, action: str, error: ClientError | BotoCoreError) -> RecsyncError:
    failed = RetriableError(f"S3 failed on {uri}: {error}")
    if isinstance(error, ClientError) and error_code(error) == "NoSuchKey":
        return failed  # written late, or cleared with a killed try
    remedy = f"Give the role of the AWS connection {action} on it."
    return fatal(f"use {uri}", error, conn_id=None, remedy=remedy) or failed


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
