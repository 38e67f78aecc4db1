"""Warehouses that write to S3 by themselves: unload below a staging prefix, then stream the parts in order."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from recsync.errors import DELIBERATE, FatalError, RecsyncError
from recsync.storage.byte_stream import ByteStream
from recsync.warehouse.hooks.base import Warehouse
from recsync.warehouse.hooks.staging import Part, StagedParts, Staging

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)

# No unload takes this long, so what is older belongs to nobody.
_ABANDONED_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Unload:
    """Say what a warehouse writes, or wrote, to S3.

    :param uri: prefix below which all of it lies, and nothing else.
    :param statement_id: of the statement that writes it; None when it has ended already.
    :param aws_conn_id: Airflow connection to wait for the statement with.
    :param region_name: where the statement runs; None for the connection's region.
    :param timeout_seconds: how long the statement may take; None when it has ended already.
    :param parts: key and length of each object, where that is known already.
    """

    uri: str
    statement_id: str | None = None
    aws_conn_id: str | None = None
    region_name: str | None = None
    timeout_seconds: float | None = None
    parts: tuple[tuple[str, int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Unload:
        """Read it back."""
        parts = tuple((key, size) for key, size in document["parts"])
        return cls(**{**document, "parts": parts})


class UnloadingWarehouse(Warehouse):
    """Read a warehouse that writes to S3.

    :param aws_conn_id: connection that reaches the bucket.
    :param staging_uri: ``s3://bucket/prefix/`` below which ``open_csv`` unloads; an export names its own place.
    """

    def __init__(
        self, connection: Connection, *, aws_conn_id: str = "aws_default", staging_uri: str | None = None
    ) -> None:
        super().__init__(connection)
        self.aws_conn_id = aws_conn_id
        self.staging_uri = staging_uri

    def start_unload(self, query: str, *, uri: str, name: str, ordered: bool = True) -> Unload:
        """Let the warehouse write the rows of ``query`` below ``uri``.

        Each try writes below a prefix of its own, so that neither another run of the interval nor a forgotten statement
        that is still running mixes with this one. What a dead try left there is deleted after a day.

        :param uri: ``s3://bucket/prefix/``.
        :param ordered: keep the order of ``query``; the warehouse then writes with one thread.
        """
        self.staging.clear(uri, older_than=_ABANDONED_AFTER)
        own = f"{uri.rstrip('/')}/{uuid4().hex}/"
        return self.unload(query, uri=own, name=name, ordered=ordered)

    @abstractmethod
    def unload(self, query: str, *, uri: str, name: str, ordered: bool) -> Unload:
        """Start the statement that writes below ``uri``."""

    @abstractmethod
    def parts(self, unload: Unload, *, name: str) -> Iterable[Part]:
        """Wait until all is written, and name the objects in their order."""

    def cancel(self, unload: Unload) -> None:
        """Stop writing, if that still goes on."""

    @contextmanager
    def open_unloaded(self, unload: Unload, *, name: str) -> Generator[ByteStream]:
        """Stream what was unloaded, as ``open_csv`` does; wait for it first.

        The staged objects are deleted when the block is left, whatever happened in it.
        """
        try:
            yield StagedParts(self.staging, self._waited(unload, name))
        finally:
            # What cannot be deleted now is deleted by a later run, or by the bucket's own lifecycle rule.
            try:
                self.staging.clear(unload.uri)
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

    @cached_property
    def staging(self) -> Staging:
        """The bucket, through its own connection."""
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        return Staging(S3Hook(aws_conn_id=self.aws_conn_id).get_conn())

    def needed(self, key: str, meaning: str) -> str:
        """Give a field of the connection's extra that it cannot do without."""
        value = self.connection.extra_dejson.get(key)
        if not value:
            raise FatalError(
                f"Connection {self.conn_id} lacks {key} in its extra: {meaning}. See docs/warehouses.md."
            )
        return str(value)

    def _waited(self, unload: Unload, name: str) -> list[Part]:
        try:
            return list(self.parts(unload, name=name))
        except BaseException:
            # Nobody will read what it still writes.
            with suppress(RecsyncError):
                self.cancel(unload)
            raise
