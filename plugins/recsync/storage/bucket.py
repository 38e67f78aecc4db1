"""One program's bucket: whole objects in and out, JSON and Parquet, with errors a person can act on."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from recsync.errors import FatalError, RecsyncError, RetriableError
from recsync.storage import aws_errors
from recsync.storage.byte_stream import ByteStream
from recsync.storage.keys import uri
from recsync.storage.local_disk import local_disk

# S3's own words for "not there" (get_object and head_object differ).
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
# S3's words for a conditional write whose condition does not hold (any more).
_CHANGED = frozenset({"PreconditionFailed", "412"})
# Another conditional write of the key, or a delete, was under way: S3 decided nothing, and the write is to be repeated.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html#conditional-error-response
_UNDECIDED = "ConditionalRequestConflict"
_CONDITIONAL_TRIES = 8
_FIRST_PAUSE_SECONDS = 0.1
_REMEDIES = {
    "NoSuchBucket": "Create the bucket or correct the setting [recsync] bucket.",
    "AccessDenied": "Give the role of the AWS connection s3:GetObject, s3:PutObject and s3:ListBucket on it.",
}


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket reached through a boto3 client.

    :param conn_id: Airflow connection of the client, for errors.
    """

    client: Any
    name: str
    conn_id: str = "aws_default"

    def uri(self, key: str) -> str:
        """Write the S3 URI of a key."""
        return uri(self.name, key)

    def put(self, key: str, body: bytes) -> str:
        """Write one object; readers see it whole or not at all.

        :returns: its ETag.
        """
        with self.errors(key):
            return str(self.client.put_object(Bucket=self.name, Key=key, Body=body)["ETag"])

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str | None:
        """Write one object only if it is still what it was.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html

        :param etag: of the object to replace; None when there must be none.
        :returns: the new ETag; None when somebody else was faster.
        :raises RetriableError: when S3 did not decide between this write and others in several tries.
        """
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        for number in range(_CONDITIONAL_TRIES):
            try:
                with self.errors(key):
                    put = self.client.put_object(Bucket=self.name, Key=key, Body=body, **condition)
                    return str(put["ETag"])
            except _UndecidedError:
                if number + 1 == _CONDITIONAL_TRIES:
                    raise
                # Twice the pause each time, up to about 25 seconds in all, at random so that writers part.
                time.sleep(_FIRST_PAUSE_SECONDS * 2**number * random.uniform(1, 2))  # ruff: ignore[suspicious-non-cryptographic-random-usage] - no secret
            except _ChangedError:
                # If the response is lost, botocore's retry fails the precondition against our own first write.
                found, found_etag = self.get_with_etag(key)
                return found_etag if found == body else None
        raise AssertionError("unreachable")

    def check_writable(self, key: str) -> None:
        """Ask S3 whether an object may be written, without writing one.

        The write is asked for on the condition that the object is there already, with an ETag that no object has.

        :raises FatalError: when the bucket is not there or writing is not allowed.
        """
        with suppress(_NotThereError, _ChangedError), self.errors(key):
            self.client.put_object(Bucket=self.name, Key=key, Body=b"", IfMatch=f'"{"0" * 32}"')

    def get_with_etag(self, key: str) -> tuple[bytes | None, str | None]:
        """Read one object and its ETag; both None when it is not there."""
        try:
            with self.errors(key):
                answer = self.client.get_object(Bucket=self.name, Key=key)
                return bytes(answer["Body"].read()), str(answer["ETag"])
        except _NotThereError:
            return None, None

    def upload(self, key: str, path: Path) -> None:
        """Write a file, in parts when it is large."""
        with self.errors(key):
            self.client.upload_file(str(path), self.name, key)

    def download(self, key: str, path: Path) -> None:
        """Read one object into a file, in parts when it is large.

        :raises RetriableError: when the object is not there, or the local disk is full.
        """
        with self.errors(key), local_disk(path.parent):
            self.client.download_file(self.name, key, str(path))

    def stream(self, key: str) -> ByteStream:
        """Open one object to be read in pieces, without holding it whole."""
        with self.errors(key):
            return _Body(self, key, self.client.get_object(Bucket=self.name, Key=key)["Body"])

    def get(self, key: str) -> bytes | None:
        """Read one object; None when it is not there."""
        try:
            with self.errors(key):
                return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())
        except _NotThereError:
            return None

    def etag(self, key: str) -> str | None:
        """Give the ETag of an object; None when it is not there."""
        try:
            with self.errors(key):
                return str(self.client.head_object(Bucket=self.name, Key=key)["ETag"])
        except _NotThereError:
            return None

    def size_bytes(self, key: str) -> int | None:
        """Give the size of an object; None when it is not there."""
        try:
            with self.errors(key):
                return int(self.client.head_object(Bucket=self.name, Key=key)["ContentLength"])
        except _NotThereError:
            return None

    def copy(self, source: str, target: str) -> None:
        """Copy one object inside the bucket, without downloading it."""
        with self.errors(source):
            self.client.copy({"Bucket": self.name, "Key": source}, self.name, target)

    def delete(self, key: str) -> None:
        """Delete one object; it may be gone already."""
        with self.errors(key):
            self.client.delete_object(Bucket=self.name, Key=key)

    def forget_parts(self, key: str, upload_id: str) -> None:
        """Abort an upload in parts; when that fails too, the error that led here is the one to show."""
        with suppress(ClientError, BotoCoreError):
            self.client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload_id)

    def keys(self, folder: str) -> list[str]:
        """List the keys in a folder and in the folders below it, sorted."""
        return sorted(entry["Key"] for entry in self.listed(folder))

    def listed(self, folder: str, *, after: str = "", first_level: bool = False) -> Iterator[dict[str, Any]]:
        """List the objects in a folder, as ``ListObjectsV2`` describes them.

        A slash is added where it is missing at the end: S3 lists all keys that begin with a text, so ``out/weekly``
        would bring the objects of ``out/weekly-old/`` too.

        :param after: only keys that sort after this one.
        :param first_level: without the folders below it.
        """
        prefix = f"{folder}/" if folder and not folder.endswith("/") else folder
        with self.errors(prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix, StartAfter=after, Delimiter="/" if first_level else ""
            )
            for page in pages:
                yield from page.get("Contents", [])

    def keeps_versions(self) -> bool:
        """Say whether the bucket keeps, or ever kept, former versions of objects.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html
        """
        with self.errors(""):
            return "Status" in self.client.get_bucket_versioning(Bucket=self.name)

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
        # Imported where it is used: exports, whose memory is counted, do without.
        import pyarrow.parquet as pq

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
        import pyarrow.parquet as pq

        try:
            return pq.read_table(BytesIO(body))
        except pa.ArrowInvalid as error:
            raise FatalError(
                f"{self.uri(key)} is not valid Parquet ({error}); restore or delete it."
            ) from None

    @contextmanager
    def errors(self, key: str) -> Generator[None]:
        """Say in recsync's own errors what S3 has against a key."""
        try:
            yield
        except ClientError as error:
            raise self._explained(key, error) from None
        except (BotoCoreError, Boto3Error) as error:
            # No answer, a body that broke off, or a transfer in parts that was refused.
            if isinstance(error.__context__, ClientError):
                raise self._explained(key, error.__context__) from None
            raise self._unanswered(key, error) from None

    def _unanswered(self, key: str, error: Exception) -> RecsyncError:
        refused = aws_errors.fatal(f"reach {self.uri(key)}", error, conn_id=self.conn_id)
        return refused or RetriableError(f"S3 failed on {self.uri(key)}: {error}")

    def _explained(self, key: str, error: ClientError) -> RecsyncError:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _MISSING:
            return _NotThereError(f"{self.uri(key)} is not there.")
        if code in _CHANGED:
            return _ChangedError(f"{self.uri(key)} was changed by somebody else.")
        if code == _UNDECIDED:
            return _UndecidedError(
                f"S3 did not decide between writers of {self.uri(key)} in {_CONDITIONAL_TRIES} tries; a retry tries "
                "again."
            )
        remedy = _REMEDIES.get(code)
        refused = aws_errors.fatal(f"use {self.uri(key)}", error, conn_id=self.conn_id, remedy=remedy)
        return refused or RetriableError(f"S3 failed on {self.uri(key)}: {error}")


class _NotThereError(RetriableError):
    """The object is missing; callers that can live with that catch it."""


class _ChangedError(RetriableError):
    """The condition of a write does not hold; callers that can live with that catch it."""


class _UndecidedError(RetriableError):
    """S3 answered a conditional write with 409: neither written nor refused."""


@dataclass(frozen=True)
class _Body:
    """The bytes of one object; what breaks while they are read is an error of the bucket."""

    bucket: Bucket
    key: str
    body: Any

    def read(self, size: int, /) -> bytes:
        with self.bucket.errors(self.key):
            return bytes(self.body.read(size))
