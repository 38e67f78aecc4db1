"""Read DuckDB: exports as ``COPY … TO`` a pipe, other rows as DuckDB's own Arrow batches.

https://duckdb.org/docs/stable/sql/statements/copy
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import duckdb
import pyarrow as pa

from recsync.errors import RecsyncError
from recsync.storage.csv_text import ByteStream
from recsync.warehouse.arrow_text import BATCH_ROWS
from recsync.warehouse.column_types import ReturnedColumn
from recsync.warehouse.dialects import DUCKDB
from recsync.warehouse.event_mapping import select_none
from recsync.warehouse.hooks.base import Selected, Warehouse, piped

# DuckDB spills to disk above this, unless the connection's extra sets another limit.
_MEMORY_LIMIT = "256MB"
# Disk, memory, locks and cancellation; other errors are about the query.
_TEMPORARY = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.InterruptException,
    duckdb.ConnectionException,
)


class DuckDbWarehouse(Warehouse):
    """Read a connection of type ``duckdb``: ``host`` is the path of the database file.

    Every key of ``extra`` is one of DuckDB's settings. https://duckdb.org/docs/stable/configuration/overview
    """

    dialect = DUCKDB
    permissions = "the tables it reads"

    def describe(self, query: str, *, name: str) -> list[ReturnedColumn]:
        with self._session(name) as session:
            described = session.execute(f"DESCRIBE {select_none(query)}").fetchall()
        return [ReturnedColumn.of(column[0], column[1]) for column in described]

    @contextmanager
    def open_csv(self, query: str, *, name: str) -> Generator[ByteStream]:
        def write(file: BinaryIO) -> None:
            with self._errors(name):
                # USE_TMP_FILE would write another file and rename it at the end.
                target = f"'/dev/fd/{file.fileno()}' (FORMAT csv, HEADER false, USE_TMP_FILE false)"
                session.execute(f"COPY (\n{query}\n) TO {target}")

        with self._session(name) as session, piped(write, cancel=session.interrupt) as stream:
            yield stream

    @contextmanager
    def _open_batches(
        self, selected: Selected, *, name: str, in_order: bool
    ) -> Generator[Iterator[pa.RecordBatch]]:
        def batches() -> Iterator[pa.RecordBatch]:
            with self._errors(name), _native_errors():
                yield from reader

        # The texts that COPY writes too. A relation streams; the result of execute() is held as a whole.
        texts = f"SELECT COLUMNS(*)::VARCHAR FROM (\n{selected.query}\n)"
        with self._session(name) as session, session.sql(texts).to_arrow_reader(BATCH_ROWS) as reader:
            yield selected.of(batches())

    @property
    def _path(self) -> Path:
        return Path(self.connection.host or self.connection.schema or "")

    @contextmanager
    def _session(self, name: str) -> Generator[duckdb.DuckDBPyConnection]:
        if not self._path.is_file():
            remedy = "Give the path of the database file as the connection's host."
            raise self.refused(name, f"there is no database file {str(self._path)!r}", remedy=remedy)
        with TemporaryDirectory(prefix="recsync-") as spill, self._errors(name):
            config = {"memory_limit": _MEMORY_LIMIT, "temp_directory": spill, **self.connection.extra_dejson}
            session = duckdb.connect(str(self._path), read_only=True, config=config)
            try:
                # A long query would write its progress bar to the task's log.
                session.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
                yield session
            finally:
                session.close()

    @contextmanager
    def _errors(self, name: str) -> Generator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise self._explained(error, name) from None

    def _explained(self, error: duckdb.Error, name: str) -> RecsyncError:
        gone = isinstance(error, duckdb.CatalogException) and self.was_described(name)
        if gone or isinstance(error, _TEMPORARY):
            return self.failed(name, error)
        return self.refused(name, error)


@contextmanager
def _native_errors() -> Generator[None]:
    """Raise DuckDB's own class for an error that came through Arrow, which keeps its text only."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        kind, _, text = str(error).partition(" Error: ")
        raise getattr(duckdb, f"{kind.replace(' ', '')}Exception", duckdb.Error)(
            f"{kind} Error: {text}"
        ) from None
