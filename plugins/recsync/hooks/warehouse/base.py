"""What every warehouse can do for an export."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from recsync.core.byte_stream import ByteStream
from recsync.core.queries.dialects import Dialect
from recsync.errors import FatalError, RetriableError

if TYPE_CHECKING:
    from airflow.sdk import Connection

BLOCK_ROWS = 10_000
# Unless the connection's extra says otherwise.
_STATEMENT_TIMEOUT_SECONDS = 4 * 3600


class Warehouse(ABC):
    """Read one warehouse connection.

    Every method takes ``name``, the SQL file, for errors. All raise FatalError when the query, a permission or the
    connection is wrong, with the warehouse's own words, and RetriableError for what passes by itself.

    :param connection: Airflow connection.
    """

    dialect: Dialect
    # What a query needs that the account lacks; said after every refusal.
    permissions: ClassVar[str] = "SELECT on what it reads"

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.conn_id: str = connection.conn_id
        self._described: set[str] = set()

    @property
    def statement_timeout_seconds(self) -> float:
        """How long one statement may take: ``statement_timeout_seconds`` in the connection's extra, or 4 hours."""
        value = self.connection.extra_dejson.get("statement_timeout_seconds", _STATEMENT_TIMEOUT_SECONDS)
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            seconds = 0.0
        if not 0 < seconds < math.inf:
            raise FatalError(
                f"Connection {self.conn_id}: statement_timeout_seconds in its extra is no number above 0: write, for "
                f"instance, {_STATEMENT_TIMEOUT_SECONDS}."
            )
        return seconds

    def columns(self, query: str, *, name: str) -> list[str]:
        """Name the columns that ``query`` returns, as the warehouse writes them."""
        described = self.describe(query, name=name)
        self._described.add(name)
        return described

    @abstractmethod
    def describe(self, query: str, *, name: str) -> list[str]:
        """Ask the warehouse for the columns of ``query``."""

    @abstractmethod
    def open_csv(self, query: str, *, name: str) -> AbstractContextManager[ByteStream]:
        """Stream the rows of ``query`` as CSV.

        RFC 4180, no header, UTF-8, LF; NULL is an empty cell, an empty text ``""``. The query runs while the stream is
        read, and is cancelled when the block is left before the end. An error of the query is raised by ``read``,
        after what came before it: the stream never ends early as if it were whole.
        """

    @abstractmethod
    def rows(self, query: str, columns: Sequence[str], *, name: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of ``query`` with the columns given, in bounded memory."""

    def refused(self, name: str, text: object, *, remedy: str | None = None) -> FatalError:
        """Say that the warehouse will never run this query as it is."""
        remedy = remedy or f"Correct include/sql/{name}, or give the connection {self.permissions}."
        return FatalError(f"The warehouse ({self.conn_id}) refused {name}: {_sentence(text)} {remedy}")

    def failed(self, name: str, text: object) -> RetriableError:
        """Say that the warehouse may run this query another time."""
        return RetriableError(f"The warehouse ({self.conn_id}) failed on {name}: {_sentence(text)}")

    def was_described(self, name: str) -> bool:
        """Tell whether the warehouse just knew everything that the query names; what is missing now will come back.

        Tables that are rebuilt are gone for a moment.
        """
        return name in self._described


def _sentence(text: object) -> str:
    words = " ".join(str(text).split())
    return words if words.endswith((".", "!", "?")) else f"{words}."
