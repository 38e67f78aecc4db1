"""Define what every warehouse can do: describe a query and stream its rows as CSV."""

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
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

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


_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def csv_blocks(
    blocks: Iterable[Sequence[Sequence[Any]]], columns: Sequence[str], *, name: str, moments: bool = False
) -> Iterator[bytes]:
    """Write blocks of rows as blocks of CSV: None as an empty cell, an empty text as ``""``, a list joined with ``|``.

    :param name: the SQL file, for errors.
    :param moments: write dates and times as ISO 8601 instead of refusing them.
    :raises FatalError: naming the column with values that cannot be written.
    """
    cell = _cell_or_moment if moments else _cell
    for rows in blocks:
        lines = []
        for row in rows:
            try:
                lines.append(",".join(map(cell, row)))
            except TypeError as error:
                column = next((c for c, v in zip(columns, row, strict=False) if not _writable(v, cell)), "?")
                raise FatalError(f"{name}: column {column} {error}") from None
        lines.append("")
        try:
            yield "\n".join(lines).encode()
        except UnicodeEncodeError as error:
            raise FatalError(f"{name} returns a text that is no Unicode: {error.reason}.") from None


def _cell(value: Any) -> str:
    # The most frequent types first.
    if value is None:
        return ""
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is int:
        return str(value)
    return _other(value)


def _cell_or_moment(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else _cell(value)


def _text(value: str) -> str:
    if not value:
        return '""'
    if _NEEDS_QUOTES.search(value):
        return '"' + value.replace('"', '""') + '"'
    return value


def _other(value: Any) -> str:
    if isinstance(value, bool):
        # As texts, because Amazon Personalize does not train on booleans.
        return str(value)
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str | UUID):
        return _text(str(value))
    if isinstance(value, list | tuple) and all(
        isinstance(part, str | int | Decimal | UUID) for part in value
    ):
        return _text("|".join(map(str, value)))
    if isinstance(value, datetime | date | time | timedelta):
        raise TypeError(
            f"holds times ({type(value).__name__}); Amazon Personalize takes epoch seconds: "
            "write {{ epoch('column') }}, or cast it to text where it is no timestamp."
        )
    raise TypeError(
        f"holds values of type {type(value).__name__}; cast it to text or to a number in the query."
    )


def _writable(value: Any, cell: Callable[[Any], str]) -> bool:
    try:
        cell(value)
    except TypeError:
        return False
    return True


# Read and written in C, so that rows cost no Python steps.
_BUFFER_BYTES = 1 << 20
# Cancelling a query takes one round trip; after this time the connection is closed.
_PATIENCE_SECONDS = 15.0


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
        _widen(write_fd)
        self._reader = open(read_fd, "rb", buffering=_BUFFER_BYTES)  # ruff: ignore[builtin-open, open-file-with-context-handler] - close() closes it
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
            self._thread.join(_PATIENCE_SECONDS)
            if self._thread.is_alive() and cut is not None:
                cut()
                self._thread.join(_PATIENCE_SECONDS)
        self._reader.close()

    def _run(self, write: Callable[[BinaryIO], None], write_fd: int) -> None:
        try:
            with open(write_fd, "wb", buffering=_BUFFER_BYTES) as file:
                write(file)
        except BaseException as error:  # ruff: ignore[blind-except] - the reader raises it
            self._error = error


def _widen(descriptor: int) -> None:
    """Let the pipe hold a whole write; with the default of 64 KiB the threads switch constantly."""
    with suppress(OSError, AttributeError):
        # Linux only, and limited per user: pipe(7).
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _BUFFER_BYTES)


BLOCK_ROWS = 10_000
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


class Warehouse(ABC):
    """Read one warehouse connection.

    Every method takes ``name``, the SQL file, for errors. All raise FatalError with the warehouse's message when the
    query, a permission or the connection is wrong, and RetriableError for temporary failures.
    """

    dialect: Dialect
    # The permissions that a query needs, for errors.
    permissions: ClassVar[str] = "SELECT on what it reads"

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
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

    @contextmanager
    def read(
        self, query: str, columns: Sequence[str], *, name: str, ids: Collection[str] = ()
    ) -> Generator[Rows]:
        """Read columns of ``query`` as texts, with arrays and structs as JSON.

        :param ids: the columns that hold ids.
        :raises FatalError: when a column is missing, or an id is of a type that cannot be one.
        """
        chosen, select = self._select(query, columns, name=name)
        check_ids(chosen, ids, name=name)
        with self.open_csv(select, name=name) as stream:
            batches = text_batches(stream, list(chosen), name=name)
            yield Rows(chosen, checked_ids(batches, chosen, ids, name=name))

    def _select(
        self, query: str, columns: Sequence[str], *, name: str
    ) -> tuple[dict[str, ReturnedColumn], str]:
        """Return the requested columns and the query that selects only these."""
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
    undeclared = [column for column in ids if column in columns and columns[column].kind is Kind.DECIMAL]
    for batch in batches:
        for column in undeclared:
            if pc.any(pc.match_substring(batch[column], ".")).as_py():
                check_ids({column: replace(columns[column], scale=1)}, ids, name=name)
        yield batch


def warehouse(conn_id: str, *, aws_conn_id: str = "aws_default", staging_uri: str | None = None) -> Warehouse:
    """Choose the warehouse by the connection's type; it connects at the first query.

    :param aws_conn_id: connection for the bucket into which Redshift and Snowflake unload.
    :param staging_uri: ``s3://bucket/prefix/`` below which ``open_csv`` and ``read`` unload.
    """
    # Import only the client that is used.
    connection = airflow_connection(conn_id, field="warehouse")
    match connection.conn_type:
        case "postgres" | "postgresql":
            from recsync.warehouse.hooks.postgres import PostgresWarehouse

            return PostgresWarehouse(connection)
        case "duckdb":
            from recsync.warehouse.hooks.duckdb import DuckDbWarehouse

            return DuckDbWarehouse(connection)
        case "redshift":
            from recsync.warehouse.hooks.redshift import RedshiftWarehouse

            return RedshiftWarehouse(connection, aws_conn_id=aws_conn_id, staging_uri=staging_uri)
        case "snowflake":
            from recsync.warehouse.hooks.snowflake import SnowflakeWarehouse

            return SnowflakeWarehouse(connection, aws_conn_id=aws_conn_id, staging_uri=staging_uri)
        case _:
            from recsync.warehouse.hooks.dbapi import DbApiWarehouse

            return DbApiWarehouse(connection)
