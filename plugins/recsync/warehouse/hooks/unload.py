"""Read warehouses that unload to S3: write below a prefix, then stream the objects.

No statement contains an AWS key: the warehouse uses its role or integration.
"""

from __future__ import annotations

import json
import logging
import re
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from recsync.errors import DELIBERATE, FatalError, RecsyncError, RetriableError
from recsync.storage.bucket import Bucket
from recsync.storage.csv_text import ByteStream
from recsync.warehouse.dialects import REDSHIFT, SNOWFLAKE
from recsync.warehouse.hooks.base import Warehouse

if TYPE_CHECKING:
    from airflow.sdk import Connection


log = logging.getLogger(__name__)

# No unload takes this long: older objects are those of killed tries.
_ABANDONED_AFTER = timedelta(days=1)
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_DELETED_AT_ONCE = 1000
# Snowflake's largest file on S3, and a size that spreads a snapshot over its threads.
# https://docs.snowflake.com/en/sql-reference/sql/copy-into-location#copy-options-copyoptions
_SINGLE_FILE_BYTES = 5 * 1024**3
_PART_BYTES = 256 * 1024**2
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


def redshift_unload(query: str, uri: str, *, iam_role: str, ordered: bool, region: str | None = None) -> str:
    """Return the ``UNLOAD`` statement, which writes parts and a manifest below ``uri``.

    https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html

    :param iam_role: its ARN, or ``default`` for the cluster's default role.
    :param ordered: keep the query's order; the warehouse then does not write in parallel.
    :param region: of the bucket; None when it is the cluster's.
    """
    role = "default" if iam_role == "default" else REDSHIFT.literal(iam_role)
    lines = [
        f"UNLOAD ({_query_text(query)})",
        f"TO {REDSHIFT.literal(uri)}",
        f"IAM_ROLE {role}",
        # VERBOSE adds the length of each part, so that truncated parts are found.
        f"FORMAT AS CSV MANIFEST VERBOSE ALLOWOVERWRITE PARALLEL {'OFF' if ordered else 'ON'}",
    ]
    return "\n".join([*lines, f"REGION {REDSHIFT.literal(region)}"] if region else lines)


def snowflake_copy(query: str, uri: str, *, storage_integration: str, ordered: bool) -> str:
    """Return ``COPY INTO``, which writes one object at ``uri`` when ordered, else parts with this prefix.

    https://docs.snowflake.com/en/sql-reference/sql/copy-into-location

    :param storage_integration: name of the integration with access to ``uri``.
    :param ordered: keep the query's order: one file, written by one thread.
    """
    # Texts are quoted, so an empty text is "" and NULL an empty cell. A backslash is no escape.
    csv = " ".join(
        [
            "TYPE = CSV COMPRESSION = NONE FIELD_DELIMITER = ',' RECORD_DELIMITER = '\\n'",
            "FIELD_OPTIONALLY_ENCLOSED_BY = '\"' ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE",
            "NULL_IF = () EMPTY_FIELD_AS_NULL = FALSE",
        ]
    )
    size = _SINGLE_FILE_BYTES if ordered else _PART_BYTES
    return "\n".join(
        [
            f"COPY INTO {SNOWFLAKE.literal(uri)}",
            f"FROM (\n{query}\n)",
            f"STORAGE_INTEGRATION = {_name(storage_integration)}",
            f"FILE_FORMAT = ({csv})",
            f"OVERWRITE = TRUE SINGLE = {'TRUE' if ordered else 'FALSE'} MAX_FILE_SIZE = {size}",
            "DETAILED_OUTPUT = TRUE HEADER = FALSE",
        ]
    )


def _query_text(query: str) -> str:
    """Quote a query for UNLOAD: between dollars, where nothing is an escape, if possible."""
    if "$$" not in query and not query.endswith("$"):
        return f"$$\n{query}\n$$"
    escaped = query.replace("\\", "\\\\").replace("'", "\\'")
    return f"'\n{escaped}\n'"


def _name(identifier: str) -> str:
    """Quote a name if necessary: Snowflake folds a plain name to upper case, but not a quoted one."""
    return identifier if _PLAIN_NAME.fullmatch(identifier) else SNOWFLAKE.quoted(identifier)


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
    """

    uri: str
    statement_id: str | None = None
    aws_conn_id: str | None = None
    region_name: str | None = None
    timeout_seconds: float | None = None
    parts: tuple[tuple[str, int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Unload:
        parts = tuple((key, size) for key, size in document["parts"])
        return cls(**{**document, "parts": parts})


class UnloadingWarehouse(Warehouse):
    """Read a warehouse that unloads to S3.

    :param aws_conn_id: connection for the bucket.
    :param staging_uri: ``s3://bucket/prefix/`` below which ``open_csv`` unloads; an export names another one.
    """

    def __init__(
        self, connection: Connection, *, aws_conn_id: str = "aws_default", staging_uri: str | None = None
    ) -> None:
        super().__init__(connection)
        self.aws_conn_id = aws_conn_id
        self.staging_uri = staging_uri

    def start_unload(self, query: str, *, uri: str, name: str, ordered: bool = True) -> Unload:
        """Start the unload of the rows of ``query`` below ``uri``.

        Each try writes below its own prefix, so that other runs of the interval and statements of killed tries do
        not interfere. Objects of killed tries are deleted after a day.

        :param uri: ``s3://bucket/prefix/``.
        :param ordered: keep the order of ``query``; the warehouse then writes with one thread.
        """
        self._clear(uri, older_than=_ABANDONED_AFTER)
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
    def open_unloaded(self, unload: Unload, *, name: str) -> Generator[ByteStream]:
        """Wait for an unload and stream its rows; delete its objects at the end of the block."""
        try:
            yield StagedParts(self._waited(unload, name), self._open)
        finally:
            # A later run or the bucket's lifecycle rule deletes what cannot be deleted now.
            try:
                self._clear(unload.uri)
            except DELIBERATE as error:
                log.warning("Staged objects are left below %s: %s", unload.uri, error)

    @contextmanager
    def open_csv(self, query: str, *, name: str) -> Generator[ByteStream]:
        """Unload below ``staging_uri`` and stream that."""
        uri = self.staging_uri
        if not uri:
            raise ValueError("reading rows of a warehouse that unloads needs a staging_uri")
        unload = self.start_unload(query, uri=f"{uri.rstrip('/')}/{uuid4().hex}/", name=name)
        with self.open_unloaded(unload, name=name) as stream:
            yield stream

    def sizes(self, prefix: str) -> dict[str, int]:
        """List the objects in a folder and below: URI -> bytes, sorted. A missing slash is added to the prefix."""
        bucket, folder = self._located(prefix)
        found = {bucket.uri(entry["Key"]): int(entry["Size"]) for entry in bucket.listed(folder)}
        return dict(sorted(found.items()))

    def get_json(self, uri: str) -> Any:
        """Read one JSON document; raise RetriableError when it is missing or invalid."""
        bucket, key = self._located(uri)
        if (body := bucket.get(key)) is None:
            raise RetriableError(f"{uri} is not there.")
        try:
            return json.loads(body)
        except ValueError as error:
            raise RetriableError(f"{uri} is no JSON ({error}).") from None

    def _clear(self, prefix: str, *, older_than: timedelta | None = None) -> None:
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
