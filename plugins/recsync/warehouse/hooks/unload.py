"""Read warehouses that unload to S3: write below a prefix, then stream the objects.

No statement contains an AWS key: the warehouse uses its role or integration.
"""

from __future__ import annotations

import json
import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from airflow_personalize.refusals import is_permanent
from recsync.errors import DELIBERATE, FatalError, RecsyncError, RetriableError
from recsync.storage.bucket import Bucket
from recsync.storage.csv_dialect import text_batches
from recsync.storage.csv_text import ByteStream
from recsync.warehouse.hooks.base import Selected, Warehouse

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

# No unload takes this long: older objects are those of killed tries.
_ABANDONED_AFTER = timedelta(days=1)
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_DELETED_AT_ONCE = 1000
# DESCRIBE takes less than a second, UNLOAD up to hours.
_FIRST_POLL_SECONDS, _SLOWEST_POLL_SECONDS = 0.2, 5.0


@dataclass(frozen=True)
class Part:
    """One object.

    :param size_bytes: as reported by the warehouse; None when it was not.
    """

    uri: str
    size_bytes: int | None = None


class StagedParts:
    """The bytes of several objects, one after another; each must have the reported length."""

    def __init__(self, parts: Iterable[Part], open_part: Callable[[str], ByteStream]) -> None:
        self._parts = iter(parts)
        self._open = open_part
        self._part: Part | None = None
        self._body: ByteStream | None = None
        self._read_bytes = 0

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; raise RetriableError when an object is truncated."""
        while True:
            if self._body is None:
                self._part, self._read_bytes = next(self._parts, None), 0
                if self._part is None:
                    return b""
                self._body = self._open(self._part.uri)
            if data := self._body.read(size):
                self._read_bytes += len(data)
                return data
            assert self._part is not None
            if self._part.size_bytes not in {None, self._read_bytes}:
                raise RetriableError(
                    f"{self._part.uri} holds {self._read_bytes} bytes of {self._part.size_bytes}."
                )
            self._body = None


@dataclass(frozen=True)
class Unload:
    """An unload, running or ended.

    :param uri: prefix of its objects only.
    :param statement_id: None when the statement has ended already.
    :param aws_conn_id: Airflow connection to wait for the statement with.
    :param region_name: of the statement; None for the connection's region.
    :param timeout_seconds: limit of the statement; None when it has ended already.
    :param parts: name and length of each object, if known already.
    :param query_id: of Athena.
    :param parquet: whether the objects are Parquet; else CSV.
    """

    uri: str
    statement_id: str | None = None
    aws_conn_id: str | None = None
    region_name: str | None = None
    timeout_seconds: float | None = None
    parts: tuple[tuple[str, int], ...] = ()
    query_id: str | None = None
    parquet: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Unload:
        parts = tuple((key, size) for key, size in document["parts"])
        return cls(**{**document, "parts": parts})


class UnloadingWarehouse(Warehouse):
    """Read a warehouse that unloads to S3, below ``staging_uri`` or where an export says."""

    # Errors of the warehouse's AWS API that are temporary.
    temporary_codes: ClassVar[frozenset[str]] = frozenset()

    @property
    def staging_prefix(self) -> str:
        """Return ``staging_uri`` with a slash at its end."""
        if not self.staging_uri:
            raise FatalError(
                f"The warehouse ({self.conn_id}) unloads to S3, and no bucket is set: set Airflow's [recsync] bucket "
                "(AIRFLOW__RECSYNC__BUCKET)."
            )
        return f"{self.staging_uri.rstrip('/')}/"

    def start_unload(self, query: str, *, uri: str, name: str, ordered: bool = True) -> Unload:
        """Start the unload of the rows of ``query`` below ``uri``.

        Each try writes below its own prefix, so that other runs of the interval and statements of killed tries do
        not interfere. Objects of killed tries are deleted after a day.

        :param uri: ``s3://bucket/prefix/``.
        :param ordered: keep the order of ``query``; the warehouse then writes with one thread.
        """
        self.clear(uri, older_than=_ABANDONED_AFTER)
        own = f"{uri.rstrip('/')}/{uuid4().hex}/"
        return self.unload(query, uri=own, name=name, ordered=ordered)

    @abstractmethod
    def unload(self, query: str, *, uri: str, name: str, ordered: bool) -> Unload:
        """Start the statement that writes below ``uri``."""

    @abstractmethod
    def parts(self, unload: Unload, *, name: str) -> Iterable[Part]:
        """Wait for the unload and return its objects in order."""

    def cancel(self, unload: Unload) -> None:
        """Cancel the statement, if it still runs."""

    @contextmanager
    def finished(self, unload: Unload, name: str) -> Generator[list[Part]]:
        """Wait for an unload; delete its objects at the end of the block."""
        try:
            yield self._waited(unload, name)
        finally:
            # A later run or the bucket's lifecycle rule deletes what cannot be deleted now.
            try:
                self.clear(unload.uri)
            except DELIBERATE as error:
                log.warning("Staged objects are left below %s: %s", unload.uri, error)

    @contextmanager
    def open_unloaded(self, unload: Unload, *, name: str) -> Generator[ByteStream]:
        """Wait for an unload and stream its rows as CSV; delete its objects at the end of the block."""
        with self.finished(unload, name) as parts:
            yield StagedParts(parts, self._open)

    @contextmanager
    def open_unloaded_texts(
        self, unload: Unload, columns: Sequence[str], *, name: str
    ) -> Generator[Iterator[pa.RecordBatch]]:
        """Wait for an unload and stream its rows as batches of texts, under the names ``columns``."""
        with self.open_unloaded(unload, name=name) as stream:
            yield text_batches(stream, columns, name=name)

    @contextmanager
    def open_csv(self, query: str, *, name: str) -> Generator[ByteStream]:
        """Unload below ``staging_uri`` and stream that."""
        unload = self.start_unload(query, uri=self.staging_prefix, name=name)
        with self.open_unloaded(unload, name=name) as stream:
            yield stream

    @contextmanager
    def _open_batches(
        self, selected: Selected, *, name: str, in_order: bool
    ) -> Generator[Iterator[pa.RecordBatch]]:
        unload = self.start_unload(selected.query, uri=self.staging_prefix, name=name, ordered=in_order)
        with self.open_unloaded_texts(unload, selected.names, name=name) as batches:
            yield selected.of(batches)

    def sizes(self, prefix: str) -> dict[str, int]:
        """List the objects in a folder and below: URI -> bytes, sorted. A missing slash is added to the prefix."""
        bucket, folder = self._located(prefix)
        found = {bucket.uri(entry["Key"]): int(entry["Size"]) for entry in bucket.listed(folder)}
        return dict(sorted(found.items()))

    def get_text(self, uri: str) -> str:
        """Read one object; raise RetriableError when it is missing."""
        bucket, key = self._located(uri)
        if (body := bucket.get(key)) is None:
            raise RetriableError(f"{uri} is not there.")
        return body.decode(errors="replace")

    def get_json(self, uri: str) -> Any:
        """Read one JSON document; raise RetriableError when it is missing or invalid."""
        try:
            return json.loads(self.get_text(uri))
        except ValueError as error:
            raise RetriableError(f"{uri} is not valid JSON ({error}); a retry unloads again.") from None

    def clear(self, prefix: str, *, older_than: timedelta | None = None) -> None:
        """Delete the objects below a URI; keep those younger than ``older_than``."""
        bucket, folder = self._located(prefix)
        newest = datetime.now(UTC) - (older_than or timedelta())
        keys = [
            {"Key": entry["Key"]}
            for entry in bucket.listed(folder)
            if older_than is None or entry["LastModified"] < newest
        ]
        for first in range(0, len(keys), _DELETED_AT_ONCE):
            batch = {"Objects": keys[first : first + _DELETED_AT_ONCE], "Quiet": True}
            with bucket.errors(folder, remedy="Give the role of the AWS connection s3:DeleteObject on it."):
                answer = bucket.client.delete_objects(Bucket=bucket.name, Delete=batch)
            for error in answer.get("Errors", []):
                raise RetriableError(f"S3 did not delete {error.get('Key')}: {error.get('Message')}")

    def _open(self, uri: str) -> ByteStream:
        bucket, key = self._located(uri)
        return bucket.stream(key)

    def _located(self, uri: str) -> tuple[Bucket, str]:
        name, _, key = uri.removeprefix("s3://").partition("/")
        return Bucket(self._s3, name, self.aws_conn_id), key

    @cached_property
    def _s3(self) -> Any:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        return S3Hook(aws_conn_id=self.aws_conn_id).get_conn()

    def needed(self, key: str, meaning: str) -> str:
        """Return a required field of the connection's extra."""
        value = self.connection.extra_dejson.get(key)
        if not value:
            raise FatalError(
                f"Connection {self.conn_id} lacks {key} in its extra: {meaning}. See docs/warehouse.md."
            )
        return str(value)

    def _waited(self, unload: Unload, name: str) -> list[Part]:
        try:
            return list(self.parts(unload, name=name))
        except BaseException:
            # Nothing will read the rest.
            with suppress(RecsyncError):
                self.cancel(unload)
            raise

    def poll(self, ask: Callable[[], ResultT | None], *, cancel: Callable[[], None], name: str) -> ResultT:
        """Call ``ask``, with growing pauses, until it returns an answer; cancel the statement at its time limit."""
        pause, end = _FIRST_POLL_SECONDS, time.monotonic() + self.statement_timeout_seconds
        while (answer := ask()) is None:
            if time.monotonic() >= end:
                with suppress(RecsyncError):
                    cancel()
                limit = f"{self.statement_timeout_seconds:g} seconds"
                raise self.failed(
                    name,
                    f"the statement had not ended after {limit} and was cancelled; statement_timeout_seconds in the "
                    "connection's extra is the limit",
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _SLOWEST_POLL_SECONDS)
        return answer

    @property
    def api_conn_id(self) -> str:
        """Return the connection for the warehouse's AWS API; default: that of the bucket."""
        return str(self.connection.extra_dejson.get("aws_conn_id") or self.aws_conn_id)

    @contextmanager
    def aws_errors(self, name: str) -> Generator[None]:
        """Raise recsync's own errors for those of the warehouse's AWS API."""
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in self.temporary_codes:
                raise self.failed(name, error) from None
            remedy = "Correct the connection, or give its AWS role the actions that docs/warehouse.md names."
            raise self.refused(name, error, remedy=remedy) from None
        except ParamValidationError as error:
            raise self.refused(name, error, remedy="Correct the connection.") from None
        except BotoCoreError as error:
            if is_permanent(error):
                remedy = (
                    f"Correct the connection {self.api_conn_id} (AIRFLOW_CONN_{self.api_conn_id.upper()})."
                )
                raise self.refused(name, error, remedy=remedy) from None
            raise self.failed(name, error) from None
