"""Read any other warehouse through its DbApiHook, with a server-side cursor where the driver has one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.common.sql.hooks.sql import DbApiHook
from sqlalchemy.exc import ArgumentError, DBAPIError, StatementError
from sqlalchemy.pool import NullPool

from recsync.errors import DELIBERATE, FatalError, RecsyncError
from recsync.warehouse.arrow_text import BATCH_ROWS, text_rows
from recsync.warehouse.column_types import Kind, ReturnedColumn, check_ids
from recsync.warehouse.dialects import Dialect, dialect_named
from recsync.warehouse.event_mapping import select_none
from recsync.warehouse.hooks.base import ArrowWarehouse, Rows, checked_ids

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from sqlalchemy.engine import Engine

Fetch = Callable[[int], Sequence[Sequence[Any]]]
# The error classes of PEP 249: permanent ones and temporary ones.
_REFUSALS = frozenset({"ProgrammingError", "DataError", "IntegrityError", "NotSupportedError"})
_FAILURES = frozenset({"OperationalError", "InterfaceError", "InternalError"})
# The order counts: in Python a bool is an int, and a datetime is a date.
_KINDS: tuple[tuple[type, Kind], ...] = (
    (bool, Kind.BOOLEAN), (int, Kind.INTEGER), (Decimal, Kind.DECIMAL), (float, Kind.FLOAT), (date, Kind.MOMENT),
    (timedelta, Kind.INTERVAL), (bytes, Kind.BINARY), (memoryview, Kind.BINARY), (list, Kind.ARRAY),
    (tuple, Kind.ARRAY), (dict, Kind.JSON), (str, Kind.TEXT), (UUID, Kind.TEXT),
)  # fmt: skip
# Permanent errors that some drivers raise as OperationalError.
_REFUSING_WORDS = (
    "no such table", "no such column", "no such function", "syntax error", "doesn't exist", "does not exist",
    "unknown column", "unknown table", "access denied", "permission denied", "not authorized",
)  # fmt: skip


def provider_hook(connection: Connection) -> Any:
    """Return the database hook of a connection's type, which its provider brings.

    :raises FatalError: nothing that is installed opens the connection, or it is no database.
    """
    kind = connection.conn_type
    try:
        hook = connection.get_hook()  # type: ignore[no-untyped-call] # Airflow left it untyped
    except (AirflowException, ImportError) as error:
        raise FatalError(
            f"Connection {connection.conn_id} is of type {kind}, which nothing installed here can open ({error}): "
            "install its provider with the pins of constraints.txt, as docs/warehouse.md says."
        ) from None
    if not isinstance(hook, DbApiHook):
        raise FatalError(f"Connection {connection.conn_id} is of type {kind}, which is no database.")
    return hook


class DbApiWarehouse(ArrowWarehouse):
    """Read any connection with a hook that is a DbApiHook.

    :param hook: default: the connection's own.
    :param type_names: the types of the driver's type codes; without it, only codes that are names are known.
    """

    def __init__(
        self,
        connection: Connection,
        hook: DbApiHook | None = None,
        *,
        type_names: Mapping[int, str] | None = None,
        **staging: Any,
    ) -> None:
        super().__init__(connection, **staging)
        self._hook = hook
        self._type_names = type_names or {}

    @property
    def dialect(self) -> Dialect:  # type: ignore[override] # a constant elsewhere
        return dialect_named(self.connection.conn_type or "")

    def describe(self, query: str, *, name: str) -> list[ReturnedColumn]:
        with self._executed(select_none(query), name) as (columns, _):
            return columns

    @contextmanager
    def open_texts(self, query: str, *, name: str) -> Generator[Iterator[pa.RecordBatch]]:
        with self._executed(query, name) as (columns, fetch):
            yield text_rows(self._blocks(fetch, name), [column.name for column in columns], name=name)

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
        """Read columns of ``query`` as texts; a type that the driver does not report is that of the first value."""
        selected = self._select(query, columns, name=name, in_order=in_order)
        with self._executed(selected.query, name) as (_, fetch):
            blocks = self._blocks(fetch, name)
            first = next(blocks, [])
            chosen = {
                column: _column_of_values(column, [row[place] for row in first])
                if first and known.kind is Kind.UNKNOWN
                else known
                for (column, known), place in zip(selected.columns.items(), selected.positions, strict=True)
            }
            check_ids(chosen, ids, name=name)
            batches = selected.of(text_rows(chain([first], blocks), selected.names, name=name, moments=True))
            yield Rows(chosen, checked_ids(batches, chosen, ids, name=name))

    @cached_property
    def hook(self) -> DbApiHook:
        """The hook of the connection's type, which its provider brings."""
        return self._hook if self._hook is not None else provider_hook(self.connection)

    def _blocks(self, fetch: Fetch, name: str) -> Iterator[Sequence[Sequence[Any]]]:
        while True:
            with self.errors(name):
                block = fetch(BATCH_ROWS)
            if not block:
                return
            yield block

    @contextmanager
    def _executed(self, query: str, name: str) -> Generator[tuple[list[ReturnedColumn], Fetch]]:
        engine = self._engine()
        with self.errors(name):
            if engine is None:
                with closing(self.hook.get_conn()) as session, closing(session.cursor()) as cursor:
                    cursor.execute(query)
                    yield list(map(self._column, cursor.description)), cursor.fetchmany
                return
            with engine.connect() as session:
                try:
                    # Without no_parameters, some drivers take % in the query for a placeholder.
                    streaming = session.execution_options(
                        stream_results=True, max_row_buffer=BATCH_ROWS, no_parameters=True
                    )
                    result = streaming.exec_driver_sql(query)
                    yield list(map(self._column, result.cursor.description)), result.fetchmany
                finally:
                    # Closing a cursor early makes some drivers read the rest; dropping the connection does not.
                    session.invalidate()

    def _column(self, described: Sequence[Any]) -> ReturnedColumn:
        """Read a column description of PEP 249: name, type code, …, precision, scale."""
        code = described[1]
        kind = (
            self._type_names.get(code, "") if isinstance(code, int) else code if isinstance(code, str) else ""
        )
        return ReturnedColumn.of(str(described[0]), kind, described[5] if len(described) > 5 else None)

    def _engine(self) -> Engine | None:
        """Return an engine, which knows how its driver streams; None for drivers unknown to SQLAlchemy."""
        try:
            return self.hook.get_sqlalchemy_engine(engine_kwargs={"poolclass": NullPool})
        except (ArgumentError, ImportError, NotImplementedError, AirflowException):
            return None

    @contextmanager
    def errors(self, name: str) -> Generator[None]:
        """Raise recsync's own errors for those of the driver."""
        try:
            yield
        except DELIBERATE:
            raise
        except Exception as error:
            if (explained := self._explained(error, name)) is None:
                raise
            raise explained from None

    def _explained(self, error: Exception, name: str) -> RecsyncError | None:
        cause = error.orig if isinstance(error, DBAPIError | StatementError) and error.orig else error
        kinds = {kind.__name__ for kind in type(cause).__mro__}
        if not kinds & (_REFUSALS | _FAILURES):
            return None
        if kinds & _REFUSALS or any(words in str(cause).casefold() for words in _REFUSING_WORDS):
            return self.refused(name, cause)
        return self.failed(name, cause)


def _column_of_values(name: str, values: Sequence[Any]) -> ReturnedColumn:
    value = next((value for value in values if value is not None), None)
    kind = next((kind for python, kind in _KINDS if isinstance(value, python)), Kind.UNKNOWN)
    return ReturnedColumn(name, type(value).__name__ if value is not None else "", kind)
