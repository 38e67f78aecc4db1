"""One program's bucket: whole objects in and out, JSON and Parquet, with errors a person can act on."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from recsync.core.keys import uri
from recsync.errors import FatalError, RetriableError

# S3's own words for "not there" (get_object and head_object differ).
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_FATAL = {
    "NoSuchBucket": "Create the bucket or correct the setting [recsync] bucket.",
    "AccessDenied": "Give the role of the AWS connection s3:GetObject, s3:PutObject and s3:ListBucket on it.",
    "InvalidAccessKeyId": "Correct the AWS connection.",
    "SignatureDoesNotMatch": "Correct the AWS connection.",
}


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket reached through a boto3 client."""

    client: Any
    name: str

    def uri(self, key: str) -> str:
        """Write the S3 URI of a key."""
        return uri(self.name, key)

    def put(self, key: str, body: bytes) -> str:
        """Write one object; readers see it whole or not at all.

        :returns: its ETag.
        """
        with self._errors(key):
            return str(self.client.put_object(Bucket=self.name, Key=key, Body=body)["ETag"])

    def upload(self, key: str, path: Path) -> None:
        """Write a file, in parts when it is large."""
        with self._errors(key):
            self.client.upload_file(str(path), self.name, key)

    def get(self, key: str) -> bytes | None:
        """Read one object; None when it is not there."""
        try:
            with self._errors(key):
                return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())
        except _NotThereError:
            return None

    def lines(self, key: str) -> Iterator[bytes]:
        """Read one object line by line, without holding it whole."""
        with self._errors(key):
            yield from self.client.get_object(Bucket=self.name, Key=key)["Body"].iter_lines()

    def etag(self, key: str) -> str | None:
        """Give the ETag of an object; None when it is not there."""
        try:
            with self._errors(key):
                return str(self.client.head_object(Bucket=self.name, Key=key)["ETag"])
        except _NotThereError:
            return None

    def copy(self, source: str, target: str) -> None:
        """Copy one object inside the bucket, without downloading it."""
        with self._errors(source):
            self.client.copy({"Bucket": self.name, "Key": source}, self.name, target)

    def delete(self, key: str) -> None:
        """Delete one object; it may be gone already."""
        with self._errors(key):
            self.client.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str) -> list[str]:
        """List the keys below a prefix, sorted."""
        with self._errors(prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))

    def put_json(self, key: str, document: Any) -> None:
        """Write one JSON document."""
        self.put(key, json.dumps(document, indent=1, sort_keys=True).encode())

    def get_json(self, key: str) -> Any:
        """Read one JSON document; None when it is not there.

        :raises FatalError: when it is not JSON.
        """
        body = self.get(key)
        if body is None:
            return None
        try:
            return json.loads(body)
        except ValueError as error:
            raise FatalError(f"{self.uri(key)} is not valid JSON ({error}); restore or delete it.") from None

    def put_table(self, key: str, table: pa.Table) -> None:
        """Write one Parquet object."""
        sink = BytesIO()
        pq.write_table(table, sink, compression="zstd")
        self.put(key, sink.getvalue())

    def get_table(self, key: str) -> pa.Table | None:
        """Read one Parquet object; None when it is not there.

        :raises FatalError: when it is not Parquet.
        """
        body = self.get(key)
        if body is None:
            return None
        try:
            return pq.read_table(BytesIO(body))
        except pa.ArrowInvalid as error:
            raise FatalError(
                f"{self.uri(key)} is not valid Parquet ({error}); restore or delete it."
            ) from None

    @contextmanager
    def _errors(self, key: str) -> Generator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _MISSING:
                raise _NotThereError(f"{self.uri(key)} is not there.") from None
            if code in _FATAL:
                raise FatalError(f"S3 refused {self.uri(key)}: {code}. {_FATAL[code]}") from None
            raise RetriableError(f"S3 failed on {self.uri(key)}: {error}") from None


class _NotThereError(RetriableError):
    """The object is missing; callers that can live with that catch it."""
