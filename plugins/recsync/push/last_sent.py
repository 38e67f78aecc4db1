"""The last-sent state: what Braze was last told, per person and attribute, as a fingerprint.

One small document points at one Parquet object. The document is replaced only if nobody else replaced it since it
was read, so two tasks that both believe to be the only one cannot both change the state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from recsync.errors import FatalError, RetriableError
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

_TABLES_KEPT = 3


@dataclass(frozen=True)
class Newest:
    """The newest recommendations that Braze was told of.

    :param created_at: ISO 8601.
    """

    run: str = ""
    created_at: str = ""


@dataclass(frozen=True)
class LastSentState:
    """Where the last-sent state lies, and which delivery may change it.

    :param generation: counts the changes of ``table``.
    :param table: key of the Parquet object (schema ``STATE`` of ``push.schemas``); empty before the first.
    :param open_delivery: the delivery that has begun and is not complete; empty when there is none.
    :param resync: the delivery that took everything in ``table`` for unknown, until everybody is written; else empty.
    :param refused: people whom Braze refused in the last complete delivery; they will be tried, and refused, again.
    :param written: people written by day (UTC, ISO 8601), of the last two days.
    """

    generation: int = 0
    table: str = ""
    open_delivery: str = ""
    newest: Newest = Newest()
    resync: str = ""
    refused: int = 0
    written: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: dict[str, Any]) -> LastSentState:
        """Read the document."""
        return cls(**{**document, "newest": Newest(**document.get("newest", {}))})


@dataclass(frozen=True)
class LastSent:
    """The last-sent state of one program."""

    bucket: Bucket
    keys: Keys

    def read(self) -> tuple[LastSentState, str | None]:
        """Read the document, and the ETag that a change of it must name."""
        body, etag = self.bucket.get_with_etag(self._document)
        if body is None:
            return LastSentState(), None
        try:
            return LastSentState.parse(json.loads(body)), etag
        except (ValueError, TypeError) as error:
            raise FatalError(
                f"{self.bucket.uri(self._document)} is damaged ({error}); restore an earlier version of it."
            ) from None

    def replace(self, state: LastSentState, etag: str | None) -> str:
        """Write the document.

        :param etag: of the document that ``state`` was made from.
        :returns: the new ETag.
        :raises RetriableError: when another delivery changed it meanwhile.
        """
        body = json.dumps(asdict(state), indent=1, sort_keys=True).encode()
        written = self.bucket.put_if(self._document, body, etag=etag)
        if written is None:
            raise RetriableError(
                f"Another delivery changed {self.bucket.uri(self._document)} meanwhile; the next try begins anew."
            )
        self._delete_old_tables(state)
        return written

    def _delete_old_tables(self, state: LastSentState) -> None:
        """Keep the table that the document names, the two generations before it for a rollback, and all newer ones.

        A newer table belongs to a delivery that lost the race for the document, or that is about to replace it.
        """
        if not state.table:
            return
        older = [key for key in self.bucket.keys(self._tables) if key < self._generation(state.generation)]
        for key in older[: 1 - _TABLES_KEPT]:
            if key != state.table:
                self.bucket.delete(key)

    def download(self, state: LastSentState, target: Path) -> Path | None:
        """Fetch the table; None when nothing was ever sent."""
        if not state.table:
            return None
        self.bucket.download(state.table, target)
        return target

    def upload(self, state: LastSentState, table: Path, delivery: str) -> LastSentState:
        """Store a new table, and give the state that points at it; the caller replaces the document."""
        generation = state.generation + 1
        # With the delivery: two that race never write the same object.
        key = f"{self._generation(generation)}-{delivery}.parquet"
        self.bucket.upload(key, table)
        return replace(state, generation=generation, table=key)

    def _generation(self, number: int) -> str:
        return f"{self._tables}{number:08d}"

    @property
    def _tables(self) -> str:
        return self.keys.state("last_sent/")

    @property
    def _document(self) -> str:
        return self.keys.state("last_sent.json")
