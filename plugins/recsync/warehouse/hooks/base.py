"""Define what every warehouse can do: describe a query, and stream its rows as CSV or as Arrow batches."""

from __future__ import annotations

import fcntl
import math
import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO, ClassVar

import pyarrow as pa

from recsync.errors import FatalError, RetriableError
from recsync.privacy import withhold_literals
from recsync.settings import connection as airflow_connection
from recsync.storage.csv_dialect import text_batches
from recsync.storage.csv_text import ByteStream
from recsync.warehouse.column_types import Kind, ReturnedColumn, check_ids
from recsync.warehouse.dialects import Dialect
from recsync.warehouse.event_mapping import map_columns, select_columns

if TYPE_CHECKING:
    from airflow.sdk import Connection


# Read and written in C, so that rows cost no Python steps.
BUFFER_BYTES = 1 << 20
# Cancelling a query takes one round trip; after this time the connection is closed.
PATIENCE_SECONDS = 15.0


@contextmanager
def piped(
    write: Callable[[BinaryIO], None], *, cancel: Callable[[], None], cut: Callable[[], None] | None = None
) -> Generator[ByteStream]:
    """Run ``write`` in a thread and stream its output.

    :param write: its error is raised by ``read``, after its output.
    :param cancel: stops ``write``; called when the block is left early.
    :param cut: stops ``write`` when ``cancel`` did not.
    """
    stream = _Pipe(write)
    try:
        yield stream
    finally:
        stream.close(cancel, cut)


class _Pipe:
    def __init__(self, write: Callable[[BinaryIO], None]) -> None:
        read_fd, write_fd = os.pipe()
        widen_pipe(write_fd)
        self._reader = open(read_fd, "rb", buffering=BUFFER_BYTES)  # ruff: ignore[builtin-open, open-file-with-context-handler] - close() closes it
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(write, write_fd), daemon=True)
        self._thread.start()

    def read(self, size: int, /) -> bytes:
        data = self._reader.read(size)
        if not data and size:
            self._thread.join()
            if self._error is not None:
                raise self._error
        return data

    def close(self, cancel: Callable[[], None], cut: Callable[[], None] | None) -> None:
        if self._thread.is_alive():
            # Cancel first: a writer to a closed pipe would fetch and discard the remaining rows.
            cancel()
            self._reader.close()
            self._thread.join(PATIENCE_SECONDS)
            if self._thread.is_alive() and cut is not None:
                cut()
                self._thread.join(PATIENCE_SECONDS)
        self._reader.close()

    def _run(self, write: Callable[[BinaryIO], None], write_fd: int) -> None:
        try:
            with open(write_fd, "wb", buffering=BUFFER_BYTES) as file:
                write(file)
        except BaseException as error:  # ruff: ignore[blind-except] - the reader raises it
            self._error = error


def widen_pipe(descriptor: int) -> None:
    """Let the pipe hold a whole write; with the default of 64 KiB the threads switch constantly."""
    with suppress(OSError, AttributeError):
        # Linux only, and limited per user: pipe(7).
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, BUFFER_BYTES)


# How warehouses report missing permissions.
_DENIED = re.compile(
    r"denied|not authorized|insufficient (privilege|permission)|not permitted|must be owner", re.IGNORECASE
)
# Default of statement_timeout_seconds in the connection's extra.
_STATEMENT_TIMEOUT_SECONDS = 4 * 3600


@dataclass(frozen=True)
class Rows:
    """The rows of a query as texts, exactly as in an export.

    :param columns: by the requested name.
    :param batches: columns of strings under these names. Can be read once, in bounded memory.
    """

    columns: dict[str, ReturnedColumn]
    batches: Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Selected:
    """A query and the positions of the requested columns in its result.

    :param columns: by the requested name.
    :param names: all columns that the query returns, each name once.
    :param positions: of the requested columns among them.
    """

    columns: dict[str, ReturnedColumn]
    query: str
    names: Sequence[str]
    positions: Sequence[int]

    def of(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Take the requested columns of each batch, under their names."""
        names = list(self.columns)
        for batch in batches:
            yield pa.RecordBatch.from_arrays([batch.column(place) for place in self.positions], names)


class Warehouse(ABC):
    """Read one warehouse connection.

    Every method takes ``name``, the SQL file, for errors. All raise FatalError with the warehouse's message when the
    query, a permission or the connection is wrong, and RetriableError for temporary failures.

    :param aws_conn_id: connection for the bucket into which some warehouses unload.
    :param staging_uri: ``s3://bucket/prefix/`` below which they do; an export names another one.
    """

    dialect: Dialect
    # The permissions that a query needs, for errors.
    permissions: ClassVar[str] = "SELECT on what it reads"

    def __init__(
        self, connection: Connection, *, aws_conn_id: str = "aws_default", staging_uri: str | None = None
    ) -> None:
        self.connection = connection
        self.aws_conn_id = aws_conn_id
        self.staging_uri = staging_uri
        self.conn_id: str = connection.conn_id
        self._described: set[str] = set()
        self._queries: dict[str, str] = {}

    @property
    def statement_timeout_seconds(self) -> float:
        """Read the limit of one statement from the connection's extra; default 4 hours."""
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
        """Describe ``query``, and remember that it worked."""
        self._queries[name] = query
        described = self.describe(query, name=name)
        self._described.add(name)
        return described

    @abstractmethod
    def describe(self, query: str, *, name: str) -> list[ReturnedColumn]:
        """Return the columns of ``query`` as the warehouse names and types them."""

    @abstractmethod
    def open_csv(self, query: str, *, name: str) -> AbstractContextManager[ByteStream]:
        """Stream the rows of ``query`` as CSV.

        RFC 4180, no header, UTF-8, LF; NULL is an empty cell, an empty text ``""``. The query runs while the stream is
        read, and is cancelled when the block is left early. ``read`` raises an error of the query after the rows before
        it: the stream never ends early without an error.
        """

    def open_large_csv(self, query: str, *, name: str) -> AbstractContextManager[ByteStream]:
        """Stream many rows like :meth:`open_csv`; slower to start, faster for each row."""
        return self.open_csv(query, name=name)

    @contextmanager
    def read(
        self,
        query: str,
        columns: Sequence[str],
        *,
        name: str,
        ids: Collection[str] = (),
        in_order: bool = False,
    ) -> Generator[Rows]:
        """Read columns of ``query`` as texts, with arrays and structs as JSON.

        :param ids: the columns that hold ids.
        :param in_order: keep the order of ``query``. Without it, warehouses write and send rows in parallel.
        :raises FatalError: when a column is missing, or an id is of a type that cannot be one.
        """
        selected = self._select(query, columns, name=name, in_order=in_order)
        check_ids(selected.columns, ids, name=name)
        with self._open_batches(selected, name=name, in_order=in_order) as batches:
            yield Rows(selected.columns, checked_ids(batches, selected.columns, ids, name=name))

    @contextmanager
    def _open_batches(
        self, selected: Selected, *, name: str, in_order: bool
    ) -> Generator[Iterator[pa.RecordBatch]]:
        """Stream the rows of a selection as batches of texts; the default reads CSV."""
        with self.open_csv(selected.query, name=name) as stream:
            yield selected.of(text_batches(stream, selected.names, name=name))

    def _select(self, query: str, columns: Sequence[str], *, name: str, in_order: bool = False) -> Selected:
        """Return the requested columns and the query that returns only these, where a subquery keeps its order."""
        described = self.columns(query, name=name)
        returned = {column.name: column for column in described}
        mapped = map_columns([column.name for column in described], columns, name=name)
        chosen = {wanted: returned[old] for wanted, old in mapped.items()}
        if in_order and not self.dialect.ordered_subqueries:
            names = [column.name for column in described]
            once = [old if old not in names[:place] else f"{old} {place}" for place, old in enumerate(names)]
            return Selected(chosen, query, once, [names.index(old) for old in mapped.values()])
        templates = {
            wanted: template
            for wanted, column in chosen.items()
            if (template := self.dialect.as_json.get(column.kind))
        }
        select = select_columns(query, mapped, ordered=False, dialect=self.dialect, templates=templates)
        return Selected(chosen, select, list(chosen), range(len(chosen)))

    def refused(self, name: str, text: object, *, remedy: str | None = None) -> FatalError:
        """Return the error for a query that needs a correction."""
        if remedy is None and _DENIED.search(str(text)):
            remedy = f"Correct include/sql/{name}, or give the connection {self.permissions}."
        remedy = remedy or f"Correct include/sql/{name}."
        return FatalError(f"The warehouse ({self.conn_id}) refused {name}: {self._said(name, text)} {remedy}")

    def failed(self, name: str, text: object) -> RetriableError:
        """Return the error for a temporary failure."""
        return RetriableError(f"The warehouse ({self.conn_id}) failed on {name}: {self._said(name, text)}")

    def _said(self, name: str, text: object) -> str:
        """Quote the warehouse's message without values of rows; literals of the query and connection stay."""
        connection = self.connection
        ours = (
            self._queries.get(name),
            connection.host,
            connection.schema,
            connection.login,
            connection.extra_dejson,
        )
        said = " ".join(withhold_literals(str(text), " ".join(map(str, ours))).split())
        return said if said.endswith((".", "!", "?")) else f"{said}."

    def was_described(self, name: str) -> bool:
        """True if DESCRIBE succeeded before: a missing table is then a rebuild in progress, so retry."""
        return name in self._described


def checked_ids(
    batches: Iterator[pa.RecordBatch],
    columns: dict[str, ReturnedColumn],
    ids: Collection[str],
    *,
    name: str,
) -> Iterator[pa.RecordBatch]:
    """Refuse ids with decimal places, where the type alone does not say."""
    # Imported here to keep 12 MB out of the memory of exports.
    import pyarrow.compute as pc

    undeclared = [column for column in ids if column in columns and columns[column].kind is Kind.DECIMAL]
    for batch in batches:
        for column in undeclared:
            if pc.any(pc.match_substring(batch[column], ".")).as_py():
                check_ids({column: replace(columns[column], scale=1)}, ids, name=name)
        yield batch


class ArrowWarehouse(Warehouse):
    """Read a warehouse through a client that returns batches of rows; this class writes their CSV."""

    @abstractmethod
    def open_texts(self, query: str, *, name: str) -> AbstractContextManager[Iterator[pa.RecordBatch]]:
        """Stream the rows of ``query`` as batches of texts, with the column names of the query.

        The query runs while the batches are read; leaving the block early cancels it.
        """

    @contextmanager
    def open_csv(self, query: str, *, name: str) -> Generator[ByteStream]:
        # Imported here because it needs pyarrow.compute.
        from recsync.warehouse.arrow_text import CsvBlocks

        with self.open_texts(query, name=name) as batches:
            yield CsvBlocks(batches)

    @contextmanager
    def _open_batches(
        self, selected: Selected, *, name: str, in_order: bool
    ) -> Generator[Iterator[pa.RecordBatch]]:
        with self.open_texts(selected.query, name=name) as batches:
            yield selected.of(batches)


# Type of the connection: module and class, of which only the one that is used is imported.
WAREHOUSES = {
    "postgres": "postgres:PostgresWarehouse",
    "postgresql": "postgres:PostgresWarehouse",
    "duckdb": "duckdb:DuckDbWarehouse",
    "redshift": "redshift:RedshiftWarehouse",
    "snowflake": "snowflake:SnowflakeWarehouse",
    "athena": "athena:AthenaWarehouse",
    "gcpbigquery": "bigquery:BigQueryWarehouse",
    "trino": "trino:TrinoWarehouse",
}
_ANY_OTHER = "dbapi:DbApiWarehouse"


def warehouse(conn_id: str, *, aws_conn_id: str = "aws_default", staging_uri: str | None = None) -> Warehouse:
    """Choose the warehouse by the connection's type; it connects at the first query.

    :param aws_conn_id: connection for the bucket into which some warehouses unload.
    :param staging_uri: ``s3://bucket/prefix/`` below which ``open_csv`` and ``read`` unload.
    """
    connection = airflow_connection(conn_id, field="warehouse")
    module, _, name = WAREHOUSES.get(connection.conn_type or "", _ANY_OTHER).partition(":")
    kind: type[Warehouse] = getattr(import_module(f"recsync.warehouse.hooks.{module}"), name)
    return kind(connection, aws_conn_id=aws_conn_id, staging_uri=staging_uri)
