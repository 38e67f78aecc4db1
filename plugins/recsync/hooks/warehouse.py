"""Read the warehouse: stream a query into a CSV file, or fetch its rows in blocks.

PostgreSQL only for now, on every connection of type ``postgres``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import BaseHook

from recsync.core.queries.templates import map_columns, select_columns
from recsync.errors import FatalError, RetriableError

_BLOCK_ROWS = 10_000
# Classes 08 (connection), 40 (rollback), 53 (resources) and 57 (operator intervention) pass by themselves;
# the rest is about the query. https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING_CLASSES = ("08", "40", "53", "57")


class WarehouseHook:
    """Read one warehouse connection.

    :param conn_id: Airflow connection.
    """

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id

    def copy_csv(self, query: str, columns: Sequence[str], path: Path, *, name: str) -> None:
        """Write the rows of ``query`` as the CSV that Amazon Personalize reads.

        Header first, columns in the order given, sorted, UTF-8, quotes escaped by a backslash.

        :param name: the SQL file, for errors.
        """
        with self._connection(name) as connection, connection.cursor() as cursor, path.open("wb") as file:
            chosen = select_columns(query, map_columns(self._columns(cursor, query), columns, name=name))
            statement = (
                f"COPY ({chosen}) TO STDOUT WITH (FORMAT csv, HEADER true, ENCODING 'UTF8', ESCAPE '\\')"
            )
            with cursor.copy(statement) as copy:
                for block in copy:
                    file.write(block)

    def rows(self, query: str, columns: Sequence[str], *, name: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of ``query`` with the columns given, in bounded memory.

        :param name: the SQL file, for errors.
        """
        with self._connection(name) as connection:
            with connection.cursor() as probe:
                mapped = map_columns(self._columns(probe, query), columns, name=name)
            with connection.cursor(name="recsync") as cursor:
                cursor.execute(select_columns(query, mapped, ordered=False))
                while block := cursor.fetchmany(_BLOCK_ROWS):
                    yield from block

    def columns(self, query: str, *, name: str) -> list[str]:
        """Name the columns that ``query`` returns."""
        with self._connection(name) as connection, connection.cursor() as cursor:
            return self._columns(cursor, query)

    @staticmethod
    def _columns(cursor: Any, query: str) -> list[str]:
        cursor.execute(f"SELECT * FROM (\n{query}\n) AS recsync_rows LIMIT 0")  # ruff: ignore[hardcoded-sql-expression] - the program's own query
        return [column.name for column in cursor.description]

    @contextmanager
    def _connection(self, name: str) -> Generator[Any]:
        hook = BaseHook.get_connection(self.conn_id).get_hook()  # type: ignore[no-untyped-call] # Airflow left it untyped
        if not isinstance(hook, PostgresHook):
            raise FatalError(
                f"Connection {self.conn_id} is of type {hook.conn_type}; exports read connections of type postgres."
            )
        try:
            with hook.get_conn() as connection:
                connection.execute("SET TIME ZONE 'UTC'")
                yield connection
        except psycopg.Error as error:
            raise _explained(error, name, self.conn_id) from None


def _explained(error: psycopg.Error, name: str, conn_id: str) -> FatalError | RetriableError:
    state = error.sqlstate or "08"
    text = f"The warehouse ({conn_id}) failed on {name}: {str(error).strip()}"
    if state[:2] in _PASSING_CLASSES:
        return RetriableError(text)
    return FatalError(f"{text} (SQLSTATE {state}). Correct include/sql/{name}.")
