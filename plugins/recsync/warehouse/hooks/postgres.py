"""Read PostgreSQL: stream ``COPY … TO STDOUT``.

https://www.postgresql.org/docs/current/sql-copy.html
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own script
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

# psycopg2 copies into a file object in C; psycopg 3 takes a Python step for each row and four times as long.
import psycopg2

from recsync.errors import FatalError, RecsyncError
from recsync.storage.csv_text import ByteStream
from recsync.warehouse.column_types import ReturnedColumn
from recsync.warehouse.dialects import POSTGRES
from recsync.warehouse.event_mapping import select_none
from recsync.warehouse.hooks import copy_out
from recsync.warehouse.hooks.base import BUFFER_BYTES, PATIENCE_SECONDS, Warehouse, piped, widen_pipe

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
        def write(file: BinaryIO) -> None:
            with self._errors(name), session.cursor() as cursor:
                cursor.copy_expert(_copy(query), file)

        with (
            self._session(name) as session,
            piped(write, cancel=lambda: _cancel(session), cut=lambda: _cut(session)) as stream,
        ):
            yield stream

    @contextmanager
    def open_large_csv(self, query: str, *, name: str) -> Generator[ByteStream]:
        stream = _CopyProcess(
            {
                "parameters": libpq_parameters(self.connection),
                "before": self._before(),
                "copy": _copy(query),
            },
            lambda text, state, connected: self._lost(name, text, state, connected=connected),
        )
        try:
            yield stream
        finally:
            stream.close()

    @contextmanager
    def _session(self, name: str) -> Generator[Any]:
        """Open a connection with a read-only transaction."""
        session = self._connected(name)
        try:
            with self._errors(name):
                session.set_session(readonly=True)
                with session.cursor() as cursor:
                    for statement, parameters in self._before():
                        cursor.execute(statement, parameters)
                yield session
        finally:
            session.close()

    def _connected(self, name: str) -> Any:
        try:
            return psycopg2.connect(**libpq_parameters(self.connection))
        except psycopg2.Error as error:
            raise self._unconnected(name, str(error)) from None

    def _before(self) -> list[tuple[str, list[str] | None]]:
        """Return the statements that begin each transaction, and their parameters."""
        return [(_SETTINGS, None), (_LIMIT, [str(math.ceil(self.statement_timeout_seconds * 1000))])]

    def _unconnected(self, name: str, text: str) -> RecsyncError:
        if any(words in text for words in _WRONG_CONNECTION):
            return self.refused(name, text, remedy="Correct the connection.")
        return self.failed(name, text)

    def _lost(self, name: str, text: str, state: str | None, *, connected: bool) -> RecsyncError:
        return self._explained(text, state, name) if connected else self._unconnected(name, text)

    @contextmanager
    def _errors(self, name: str) -> Generator[None]:
        try:
            yield
        except psycopg2.Error as error:
            raise self._explained(str(error), error.pgcode, name) from None

    def _explained(self, text: str, state: str | None, name: str) -> RecsyncError:
        # An error without a state is not from the server: the connection is lost.
        if state is None or state.startswith(_TEMPORARY):
            return self.failed(name, text)
        if state in _GONE and self.was_described(name):
            return self.failed(name, f"{text.strip()} (it was there a moment ago)")
        return self.refused(name, f"{text.strip()} (SQLSTATE {state})")


def _copy(query: str) -> str:
    return f"COPY (\n{query}\n) TO STDOUT WITH (FORMAT csv, ENCODING 'UTF8')"


class _CopyProcess:
    """The standard output of ``copy_out.py``.

    :param request: what the script reads.
    :param explained: makes the error of a text, an SQLSTATE, and whether the script was connected.
    """

    def __init__(
        self, request: dict[str, Any], explained: Callable[[str, str | None, bool], RecsyncError]
    ) -> None:
        self._explained = explained
        # Without site packages and their hooks, the interpreter starts twice as fast; psycopg2 is found by its folder.
        command = [sys.executable, "-S", "-P", str(Path(copy_out.__file__))]
        environment = {**os.environ, "PYTHONPATH": str(Path(psycopg2.__file__).parents[1])}
        pipe = subprocess.PIPE
        self._process = process = subprocess.Popen(  # ruff: ignore[subprocess-without-shell-equals-true] - our own script
            command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=BUFFER_BYTES
        )
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise AssertionError("three pipes were asked for")
        self._input, self._rows, self._outcome = process.stdin, process.stdout, process.stderr
        widen_pipe(self._rows.fileno())
        # In its input and not in its arguments, which every user of the machine can read.
        with suppress(BrokenPipeError):
            self._input.write(json.dumps(request).encode() + b"\n")
            self._input.flush()

    def read(self, size: int, /) -> bytes:
        data = self._rows.read(size)
        if not data and size and (error := self._error()):
            raise error
        return data

    def close(self) -> None:
        """End the process; a query that still runs is cancelled."""
        with suppress(BrokenPipeError):
            self._input.close()
        self._rows.close()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._outcome.close()

    def _error(self) -> RecsyncError | None:
        """Return why the rows ended; None after the last one."""
        text = self._outcome.read()
        try:
            outcome = json.loads(text)
        except ValueError:
            # Withhold the text of the process: it may contain values of rows.
            ended = f"the process that reads the rows ended with code {self._process.wait()}"
            return self._explained(ended, None, True)
        if outcome["error"] is None:
            return None
        return self._explained(outcome["error"], outcome["state"], outcome["connected"])


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
