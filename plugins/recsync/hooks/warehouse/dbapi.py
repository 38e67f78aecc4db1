"""Any other warehouse with an Airflow hook of its own: a server-side cursor where the driver has one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.common.sql.hooks.sql import DbApiHook
from sqlalchemy.exc import ArgumentError, DBAPIError, StatementError
from sqlalchemy.pool import NullPool

from recsync.core.byte_stream import ByteStream
from recsync.core.queries.dialects import Dialect, dialect_named
from recsync.core.queries.select import map_columns, select_columns, select_none
from recsync.errors import FatalError, RecsyncError
from recsync.hooks.warehouse.base import BLOCK_ROWS, Warehouse
from recsync.hooks.warehouse.csv_cells import csv_blocks

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from sqlalchemy.engine import Engine

Fetch = Callable[[int], Sequence[Sequence[Any]]]
# PEP 249's own classes, which every driver has under these names: about the query, or about the moment.
_REFUSALS = frozenset({"ProgrammingError", "DataError", "IntegrityError", "NotSupportedError"})
_FAILURES = frozenset({"OperationalError", "InterfaceError", "InternalError"})
# Some drivers call these operational too.
_REFUSING_WORDS = (
    "no such table", "no such column", "no such function", "syntax error", "doesn't exist", "does not exist",
    "unknown column", "unknown table", "access denied", "permission denied", "not authorized",
)  # fmt: skip


class DbApiWarehouse(Warehouse):
    """Read a connection whose hook is a DbApiHook.

    :param hook: default: the connection's own.
    """

    def __init__(self, connection: Connection, hook: DbApiHook | None = None) -> None:
        super().__init__(connection)
        self._hook = hook

    @property
    def dialect(self) -> Dialect:  # type: ignore[override] # the others know theirs beforehand
        """The dialect that the connection's type is known for."""
        return dialect_named(self.connection.conn_type or "")

    def describe(self, query: str, *, name: str) -> list[str]:
        """Ask the warehouse for the columns of ``query``."""
        with self._executed(select_none(query), name) as (columns, _):
            return columns

    @contextmanager
    def open_csv(self, query: str, *, name: str) -> Generator[ByteStream]:
        """Stream the rows of ``query`` as CSV."""
        with self._executed(query, name) as (columns, fetch):
            yield _Blocks(csv_blocks(self._blocks(fetch, name), columns, name=name))

    def rows(self, query: str, columns: Sequence[str], *, name: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of ``query`` with the columns given, in bounded memory."""
        mapped = map_columns(self.columns(query, name=name), columns, name=name)
        chosen = select_columns(query, mapped, ordered=False, dialect=self.dialect)
        with self._executed(chosen, name) as (_, fetch):
            for block in self._blocks(fetch, name):
                yield from map(tuple, block)

    @cached_property
    def hook(self) -> DbApiHook:
        """The hook of the connection's type.

        :raises FatalError: when its provider is not installed, or reads no rows.
        """
        if self._hook is not None:
            return self._hook
        kind = self.connection.conn_type
        try:
            hook = self.connection.get_hook()  # type: ignore[no-untyped-call] # Airflow left it untyped
        except (AirflowException, ImportError) as error:
            raise FatalError(
                f"Connection {self.conn_id} is of type {kind}, which nothing installed here can open ({error}): "
                "install its provider with the pins of constraints.txt, as docs/warehouses.md says."
            ) from None
        if not isinstance(hook, DbApiHook):
            raise FatalError(f"Connection {self.conn_id} is of type {kind}, which is no database.")
        return hook

    def _blocks(self, fetch: Fetch, name: str) -> Iterator[Sequence[Sequence[Any]]]:
        while True:
            with self.errors(name):
                block = fetch(BLOCK_ROWS)
            if not block:
                return
            yield block

    @contextmanager
    def _executed(self, query: str, name: str) -> Generator[tuple[list[str], Fetch]]:
        engine = self._engine()
        with self.errors(name):
            if engine is None:
                with closing(self.hook.get_conn()) as session, closing(session.cursor()) as cursor:
                    cursor.execute(query)
                    yield [str(column[0]) for column in cursor.description], cursor.fetchmany
                return
            with engine.connect() as session:
                try:
                    # Without no_parameters, some drivers take % in the query for a placeholder.
                    streaming = session.execution_options(
                        stream_results=True, max_row_buffer=BLOCK_ROWS, no_parameters=True
                    )
                    result = streaming.exec_driver_sql(query)
                    yield list(result.keys()), result.fetchmany
                finally:
                    # Closing a cursor before its end makes some drivers read the rest; dropping the connection never.
                    session.invalidate()

    def _engine(self) -> Engine | None:
        """Give an engine, which knows how its driver streams; None for a driver that SQLAlchemy does not know."""
        try:
            return self.hook.get_sqlalchemy_engine(engine_kwargs={"poolclass": NullPool})
        except (ArgumentError, ImportError, NotImplementedError, AirflowException):
            return None

    @contextmanager
    def errors(self, name: str) -> Generator[None]:
        """Say in recsync's own errors what the driver raises."""
        try:
            yield
        except RecsyncError:
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


class _Blocks:
    """Blocks of bytes, read in pieces of any size."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest = memoryview(block)
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)
