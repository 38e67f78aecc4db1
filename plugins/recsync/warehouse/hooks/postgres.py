"""Read PostgreSQL: stream ``COPY … TO STDOUT``.

https://www.postgresql.org/docs/current/sql-copy.html
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

# psycopg2 copies into a file object in C; psycopg 3 takes a Python step for each row and four times as long.
import psycopg2

from recsync.errors import FatalError, RecsyncError
from recsync.storage.csv_text import ByteStream
from recsync.warehouse.column_types import ReturnedColumn
from recsync.warehouse.dialects import POSTGRES
from recsync.warehouse.event_mapping import select_none
from recsync.warehouse.hooks.base import Warehouse, piped

if TYPE_CHECKING:
    from airflow.sdk import Connection

# Connection, rollback, resources, operator intervention, system and internal errors are temporary, and so is a lock
# that was not available. Other errors are about the query.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_TEMPORARY = ("08", "40", "53", "57", "58", "XX", "55P03")
# Undefined table, column, schema and function.
_GONE = ("42P01", "42703", "3F000", "42883")
# Messages about a wrong connection, for which psycopg2 has no SQLSTATE.
_WRONG_CONNECTION = (
    "authentication failed", "no pg_hba.conf entry", "no password supplied", "invalid ",
    "does not exist", "is not permitted to log in", "permission denied",
)  # fmt: skip
# The same rows in the same order and in the same text, whatever the server's and the role's settings are. With
# synchronize_seqscans, a scan may start in the middle of a table, where another scan is.
_SETTINGS = "SET LOCAL TIME ZONE 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL synchronize_seqscans = off"
# A limit that the server, the role or the connection's options set is kept.
_LIMIT = "SELECT set_config('statement_timeout', %s, true) WHERE current_setting('statement_timeout') = '0'"
# A task must not wait for a dead server: connecting ends after 30 seconds, a silent peer is dropped after 2 minutes.
# The connection's extra can set other limits.
_PATIENCE = {"connect_timeout": 30, "keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6}
_TYPE_NAMES = "SELECT oid, format_type(oid, NULL) FROM pg_type WHERE oid = ANY(%s)"
# Keys of the connection's extra for Airflow's PostgresHook; the others go to libpq.
_NOT_FOR_LIBPQ = frozenset({
    "iam", "redshift", "redshift-serverless", "cursor", "cluster-identifier", "workgroup-name", "aws_conn_id",
    "azure_conn_id", "sqlalchemy_scheme", "sqlalchemy_query", "statement_timeout_seconds",
})  # fmt: skip


class PostgresWarehouse(Warehouse):
    """Read a connection of type ``postgres``."""

    dialect = POSTGRES

    def describe(self, query: str, *, name: str) -> list[ReturnedColumn]:
        with self._session(name) as session, session.cursor() as cursor:
            cursor.execute(select_none(query))
            described = cursor.description
            cursor.execute(_TYPE_NAMES, ([column.type_code for column in described],))
            types: dict[int, str] = dict(cursor.fetchall())
        return [
            # The scale of a numeric without a declared one is 65535 here.
            ReturnedColumn.of(
                column.name, types[column.type_code], column.scale if (column.scale or 0) < 65535 else None
            )
            for column in described
        ]

    @contextmanager
    def open_csv(self, query: str, *, name: str) -> Generator[ByteStream]:
        statement = f"COPY (\n{query}\n) TO STDOUT WITH (FORMAT csv, ENCODING 'UTF8')"

        def write(file: BinaryIO) -> None:
            with self._errors(name), session.cursor() as cursor:
                cursor.copy_expert(statement, file)

        with (
            self._session(name) as session,
            piped(write, cancel=lambda: _cancel(session), cut=lambda: _cut(session)) as stream,
        ):
            yield stream

    @contextmanager
    def _session(self, name: str) -> Generator[Any]:
        """Open a connection with a read-only transaction."""
        session = self._connected(name)
        try:
            with self._errors(name):
                session.set_session(readonly=True)
                with session.cursor() as cursor:
                    cursor.execute(_SETTINGS)
                    cursor.execute(_LIMIT, (str(math.ceil(self.statement_timeout_seconds * 1000)),))
                yield session
        finally:
            session.close()

    def _connected(self, name: str) -> Any:
        try:
            return psycopg2.connect(**libpq_parameters(self.connection))
        except psycopg2.Error as error:
            text = str(error)
            if any(words in text for words in _WRONG_CONNECTION):
                raise self.refused(name, text, remedy="Correct the connection.") from None
            raise self.failed(name, text) from None

    @contextmanager
    def _errors(self, name: str) -> Generator[None]:
        try:
            yield
        except psycopg2.Error as error:
            raise self._explained(error, name) from None

    def _explained(self, error: psycopg2.Error, name: str) -> RecsyncError:
        state: str | None = error.pgcode
        # An error without a state is not from the server: the connection is lost.
        if state is None or state.startswith(_TEMPORARY):
            return self.failed(name, error)
        if state in _GONE and self.was_described(name):
            return self.failed(name, f"{str(error).strip()} (it was there a moment ago)")
        return self.refused(name, f"{str(error).strip()} (SQLSTATE {state})")


def libpq_parameters(connection: Connection) -> dict[str, Any]:
    """Return the connection's parameters for libpq, as Airflow's PostgresHook does.

    Keys of ``extra`` that are not the hook's own are options of libpq: ``sslmode``, ``options``, ``keepalives``.
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    """
    extra = connection.extra_dejson
    if extra.get("redshift") or extra.get("redshift-serverless"):
        raise FatalError(
            f"Connection {connection.conn_id} is of type postgres but leads to Redshift, which knows no COPY TO "
            "STDOUT. Make it one of type redshift; docs/warehouse.md says with which fields."
        )
    login, password, port = connection.login, connection.password, connection.port
    if extra.get("iam"):
        # Imported here because, with SQLAlchemy, it takes more memory than an export.
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        hook = PostgresHook(postgres_conn_id=connection.conn_id)
        login, password, port = hook.get_iam_token(connection)
    parameters = {
        "application_name": "recsync",
        "client_encoding": "UTF8",
        "host": connection.host,
        "port": port,
        "user": login,
        "password": password,
        "dbname": connection.schema,
        **_PATIENCE,
        **{key: value for key, value in extra.items() if key not in _NOT_FOR_LIBPQ},
    }
    return {key: value for key, value in parameters.items() if value is not None}


def _cancel(session: Any) -> None:
    with suppress(psycopg2.Error):
        session.cancel()


def _cut(session: Any) -> None:
    """Close the socket under a thread that waits for a dead server."""
    with suppress(psycopg2.Error, OSError), socket.socket(fileno=os.dup(session.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
