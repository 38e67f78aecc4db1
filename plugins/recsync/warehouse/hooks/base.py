"""What every warehouse can do for an export."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from recsync.errors import FatalError, RetriableError
from recsync.privacy import withhold_literals
from recsync.storage.byte_stream import ByteStream
from recsync.storage.csv_text import text_batches
from recsync.warehouse.dialects import Dialect
from recsync.warehouse.query_columns import Kind, ReturnedColumn, check_ids
from recsync.warehouse.select import map_columns, select_columns

if TYPE_CHECKING:
    from airflow.sdk import Connection

BLOCK_ROWS = 10_000
# What the warehouses say when the account lacks a right; of anything else the query or its data are at fault.
_DENIED = re.compile(
    r"denied|not authorized|insufficient (privilege|permission)|not permitted|must be owner", re.IGNORECASE
)
# Unless the connection's extra says otherwise.
_STATEMENT_TIMEOUT_SECONDS = 4 * 3600


@dataclass(frozen=True)
class Rows:
    """The rows of a query as texts, exactly as an export has them.

    :param columns: the columns asked for, by the name asked for.
    :param batches: columns of strings under these names; NULL is null. Read once, in bounded memory.
    """

    columns: dict[str, ReturnedColumn]
    batches: Iterator[pa.RecordBatch]


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
        self._queries: dict[str, str] = {}

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

    def columns(self, query: str, *, name: str) -> list[ReturnedColumn]:
        """Return the columns of ``query`` as the warehouse names and types them."""
        self._queries[name] = query
        described = self.describe(query, name=name)
        self._described.add(name)
        return described

    @abstractmethod
    def describe(self, query: str, *, name: str) -> list[ReturnedColumn]:
        """Ask the warehouse for the columns of ``query``."""

    @abstractmethod
    def open_csv(self, query: str, *, name: str) -> AbstractContextManager[ByteStream]:
        """Stream the rows of ``query`` as CSV.

        RFC 4180, no header, UTF-8, LF; NULL is an empty cell, an empty text ``""``. The query runs while the stream is
        read, and is cancelled when the block is left before the end. An error of the query is raised by ``read``,
        after what came before it: the stream never ends early as if it were whole.
        """

    @contextmanager
    def read(
        self, query: str, columns: Sequence[str], *, name: str, ids: Collection[str] = ()
    ) -> Generator[Rows]:
        """Read columns of ``query`` in the texts that an export of them would have.

        Arrays and structs are written as JSON where the warehouse has another notation of its own.

        :param ids: those of the columns that hold ids.
        :raises FatalError: when a column is missing, or an id is of a type that is none.
        """
        chosen, select = self._select(query, columns, name=name)
        check_ids(chosen, ids, name=name)
        with self.open_csv(select, name=name) as stream:
            batches = text_batches(stream, list(chosen), name=name)
            yield Rows(chosen, checked_ids(batches, chosen, ids, name=name))

    def _select(
        self, query: str, columns: Sequence[str], *, name: str
    ) -> tuple[dict[str, ReturnedColumn], str]:
        """Find the columns asked for, and write the query that returns just these."""
        returned = {column.name: column for column in self.columns(query, name=name)}
        mapped = map_columns(list(returned), columns, name=name)
        chosen = {wanted: returned[old] for wanted, old in mapped.items()}
        templates = {
            wanted: template
            for wanted, column in chosen.items()
            if (template := self.dialect.as_json.get(column.kind))
        }
        select = select_columns(query, mapped, ordered=False, dialect=self.dialect, templates=templates)
        return chosen, select

    def refused(self, name: str, text: object, *, remedy: str | None = None) -> FatalError:
        """Say that the warehouse will never run this query as it is."""
        if remedy is None and _DENIED.search(str(text)):
            remedy = f"Correct include/sql/{name}, or give the connection {self.permissions}."
        remedy = remedy or f"Correct include/sql/{name}."
        return FatalError(f"The warehouse ({self.conn_id}) refused {name}: {self._said(name, text)} {remedy}")

    def failed(self, name: str, text: object) -> RetriableError:
        """Say that the warehouse may run this query another time."""
        return RetriableError(f"The warehouse ({self.conn_id}) failed on {name}: {self._said(name, text)}")

    def _said(self, name: str, text: object) -> str:
        """Quote the warehouse without values of rows: what it quotes from the query or the connection is shown."""
        connection = self.connection
        ours = (
            self._queries.get(name),
            connection.host,
            connection.schema,
            connection.login,
            connection.extra_dejson,
        )
        return _sentence(withhold_literals(str(text), " ".join(map(str, ours))))

    def was_described(self, name: str) -> bool:
        """Tell whether the warehouse just knew everything that the query names; what is missing now will come back.

        Tables that are rebuilt are gone for a moment.
        """
        return name in self._described


def checked_ids(
    batches: Iterator[pa.RecordBatch],
    columns: dict[str, ReturnedColumn],
    ids: Collection[str],
    *,
    name: str,
) -> Iterator[pa.RecordBatch]:
    """Pass batches on, and refuse ids whose type allows decimal places and whose values have some."""
    doubtful = [column for column in ids if column in columns and columns[column].kind is Kind.DECIMAL]
    for batch in batches:
        for column in doubtful:
            if pc.any(pc.match_substring(batch[column], ".")).as_py():
                check_ids({column: replace(columns[column], scale=1)}, ids, name=name)
        yield batch


def _sentence(text: object) -> str:
    words = " ".join(str(text).split())
    return words if words.endswith((".", "!", "?")) else f"{words}."
