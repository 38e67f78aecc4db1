"""Read and write the objects of one bucket: bytes, files, JSON and Parquet."""

from __future__ import annotations

import io
import json
import random
import shutil
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from airflow_personalize.refusals import refusal
from recsync.errors import FatalError, RecsyncError, RetriableError
from recsync.storage.csv_text import ByteStream
from recsync.storage.duck import local_disk
from recsync.storage.keys import uri
from recsync.storage.object_reader import RANGE_BYTES, BodyStream, RangeReader


def fatal(
    action: str, error: BaseException, *, conn_id: str | None, remedy: str | None = None
) -> FatalError | None:
    """Return the FatalError for an error that no retry can help; None for any other error.

    The parameters are those of :func:`airflow_personalize.refusals.refusal`.
    """
    text = refusal(action, error, conn_id=conn_id, remedy=remedy)
    return FatalError(text) if text else None


# Error codes for a missing object (get_object and head_object differ).
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
# Error codes for a failed precondition.
_CHANGED = frozenset({"PreconditionFailed", "412"})
# Another conditional write of the key, or a delete, was under way: repeat the write.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html#conditional-error-response
_UNDECIDED = "ConditionalRequestConflict"
_CONDITIONAL_TRIES = 8
_FIRST_PAUSE_SECONDS = 0.1
_DOWNLOAD_TRIES = 5
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_DELETED_AT_ONCE = 1_000
# boto3's threshold for several parts. Below it a transfer of boto3's starts threads for one request, and a download
# asks for the size first.
_ONE_REQUEST_BYTES = 8 * 1024**2
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
        return uri(self.name, key)

    def put(self, key: str, body: bytes) -> str:
        """Write one object and return its ETag."""
        with self.errors(key):
            return str(self.client.put_object(Bucket=self.name, Key=key, Body=body)["ETag"])

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str | None:
        """Write one object only if it is unchanged.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html

        :param etag: of the object to replace; None when the object must not exist.
        :returns: the new ETag; None when another writer was faster.
        :raises RetriableError: when S3 reported a conflict in every try.
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
                # Exponential backoff with jitter, about 25 seconds in all.
                time.sleep(_FIRST_PAUSE_SECONDS * 2**number * random.uniform(1, 2))  # ruff: ignore[suspicious-non-cryptographic-random-usage] - no secret
            except _ChangedError:
                # If the response is lost, botocore's retry fails the precondition against our own first write.
                found, found_etag = self.get_with_etag(key)
                return found_etag if found == body else None
        raise AssertionError("unreachable")

    def check_writable(self, key: str) -> None:
        """Check that an object may be written, without writing one: the write's precondition never holds.

        :raises FatalError: when the bucket is missing or writing is not allowed.
        """
        with suppress(_NotThereError, _ChangedError), self.errors(key):
            self.client.put_object(Bucket=self.name, Key=key, Body=b"", IfMatch=f'"{"0" * 32}"')

    def get_with_etag(self, key: str) -> tuple[bytes | None, str | None]:
        """Read one object and its ETag; both None when it is missing."""
        try:
            with self.errors(key):
                answer = self.client.get_object(Bucket=self.name, Key=key)
                return bytes(answer["Body"].read()), str(answer["ETag"])
        except _NotThereError:
            return None, None

    def upload(self, key: str, path: Path) -> None:
        """Write a file, in parts when it is large."""
        with self.errors(key):
            if path.stat().st_size > _ONE_REQUEST_BYTES:
                self.client.upload_file(str(path), self.name, key)
            else:
                self.client.put_object(Bucket=self.name, Key=key, Body=path.read_bytes())

    def download(self, key: str, path: Path) -> None:
        """Read one object into a file, in parts when it is large.

        :raises RetriableError: when the object is missing or the local disk is full.
        """
        with self.errors(key), local_disk(path.parent):
            answer = self.client.get_object(Bucket=self.name, Key=key)
            # A larger object, or a response that breaks off, is for boto3's transfer, which tries several times.
            with closing(answer["Body"]) as body, suppress(BotoCoreError):
                if answer["ContentLength"] <= _ONE_REQUEST_BYTES:
                    path.write_bytes(body.read())
                    return
            self.client.download_file(self.name, key, str(path))

    def download_version(self, key: str, path: Path, *, etag: str) -> bool:
        """Read one version of an object into a file; resume a response that breaks off.

        :returns: False when the object was replaced or deleted.
        :raises RetriableError: when all tries break off or the local disk is full.
        """
        with self.errors(key), local_disk(path.parent), path.open("wb") as file:
            for number in range(_DOWNLOAD_TRIES):
                rest = {"Range": f"bytes={file.tell()}-"} if file.tell() else {}
                try:
                    answer = self.client.get_object(Bucket=self.name, Key=key, IfMatch=etag, **rest)
                    with closing(answer["Body"]) as body:
                        shutil.copyfileobj(body, file, _ONE_REQUEST_BYTES)
                    return True
                except ClientError as error:
                    if error.response.get("Error", {}).get("Code", "") in _MISSING | _CHANGED:
                        return False
                    raise
                except BotoCoreError:
                    if number + 1 == _DOWNLOAD_TRIES:
                        raise
        raise AssertionError("unreachable")

    def stream(self, key: str, start: int = 0) -> ByteStream:
        """Open one object for reading in pieces.

        :param start: the first byte to read.
        """
        part = {"Range": f"bytes={start}-"} if start else {}
        with self.errors(key):
            return BodyStream(self, key, self.client.get_object(Bucket=self.name, Key=key, **part)["Body"])

    def open(self, key: str) -> io.BufferedReader | None:
        """Open one object for reading anywhere in it, such as some columns of Parquet; None when it is missing."""
        size = self.size_bytes(key)
        return None if size is None else io.BufferedReader(RangeReader(self, key, size), RANGE_BYTES)

    def get(self, key: str) -> bytes | None:
        """Read one object; None when it is missing."""
        try:
            with self.errors(key):
                return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())
        except _NotThereError:
            return None

    def etag(self, key: str) -> str | None:
        """Return the ETag of an object; None when it is missing."""
        found = self._head(key)
        return str(found["ETag"]) if found else None

    def size_bytes(self, key: str) -> int | None:
        """Return the size of an object; None when it is missing."""
        found = self._head(key)
        return int(found["ContentLength"]) if found else None

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            with self.errors(key):
                return dict(self.client.head_object(Bucket=self.name, Key=key))
        except _NotThereError:
            return None

    def copy(self, source: str, target: str) -> None:
        """Copy one object inside the bucket."""
        with self.errors(source):
            self.client.copy({"Bucket": self.name, "Key": source}, self.name, target)

    def download_if_there(self, key: str, path: Path) -> bool:
        """Read one object into a file like :meth:`download`; return False when it is missing."""
        try:
            self.download(key, path)
        except _NotThereError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Delete one object, if it exists."""
        with self.errors(key):
            self.client.delete_object(Bucket=self.name, Key=key)

    def delete_all(self, keys: Sequence[str]) -> None:
        """Delete objects, 1,000 in a request.

        :raises RetriableError: when S3 did not delete all of them.
        """
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            objects = [{"Key": key} for key in keys[start : start + _DELETED_AT_ONCE]]
            with self.errors(keys[start]):
                answer = self.client.delete_objects(
                    Bucket=self.name, Delete={"Objects": objects, "Quiet": True}
                )
            if kept := answer.get("Errors"):
                codes = ", ".join(sorted({str(each.get("Code")) for each in kept}))
                raise RetriableError(
                    f"S3 did not delete {len(kept):,} objects such as {self.uri(kept[0]['Key'])}: {codes}. A retry "
                    "deletes them; AccessDenied needs s3:DeleteObject on the bucket."
                )

    def forget_parts(self, key: str, upload_id: str) -> None:
        """Abort a multipart upload; ignore a failure, so that the original error is raised."""
        with suppress(ClientError, BotoCoreError):
            self.client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload_id)

    def keys(self, folder: str) -> list[str]:
        """List the keys in a folder and in the folders below it, sorted."""
        return sorted(entry["Key"] for entry in self.listed(folder))

    def listed(self, folder: str, *, after: str = "", first_level: bool = False) -> Iterator[dict[str, Any]]:
        """List the objects in a folder, as ``ListObjectsV2`` describes them.

        A missing slash is added at the end: the prefix ``out/weekly`` would match ``out/weekly-old/`` too.

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

    def folders(self, folder: str) -> list[str]:
        """List the names of the folders directly below a folder that ends with a slash, sorted."""
        with self.errors(folder):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=folder, Delimiter="/"
            )
            found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        return sorted(prefix.removeprefix(folder).rstrip("/") for prefix in found)

    def keeps_versions(self) -> bool:
        """True if versioning is or ever was enabled.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html
        """
        with self.errors(""):
            return "Status" in self.client.get_bucket_versioning(Bucket=self.name)

    def put_json(self, key: str, document: Any) -> None:
        self.put(key, json.dumps(document, indent=1, sort_keys=True).encode())

    def get_json(self, key: str) -> Any:
        """Read one JSON document; None when it is missing.

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
        # Imported here to keep it out of the memory of exports.
        import pyarrow.parquet as pq

        sink = BytesIO()
        pq.write_table(table, sink, compression="zstd")
        self.put(key, sink.getvalue())

    def get_table(self, key: str) -> pa.Table | None:
        """Read one Parquet object; None when it is missing.

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
    def errors(self, key: str, *, remedy: str | None = None) -> Generator[None]:
        """Raise recsync's own errors for those of S3.

        :param remedy: what to do when S3 refuses; default: by the error's code.
        """
        try:
            yield
        except ClientError as error:
            raise self._explained(key, error, remedy) from None
        except (BotoCoreError, Boto3Error) as error:
            # No response, a truncated body, or a refused multipart transfer.
            if isinstance(error.__context__, ClientError):
                raise self._explained(key, error.__context__, remedy) from None
            refused = fatal(f"reach {self.uri(key)}", error, conn_id=self.conn_id)
            raise (refused or RetriableError(f"S3 failed on {self.uri(key)}: {error}")) from None

    def _explained(self, key: str, error: ClientError, remedy: str | None) -> RecsyncError:
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
        remedy = remedy or _REMEDIES.get(code)
        refused = fatal(f"use {self.uri(key)}", error, conn_id=self.conn_id, remedy=remedy)
        return refused or RetriableError(f"S3 failed on {self.uri(key)}: {error}")


class _NotThereError(RetriableError):
    """The object is missing."""


class _ChangedError(RetriableError):
    """The precondition of a write failed."""


class _UndecidedError(RetriableError):
    """S3 answered a conditional write with 409."""
