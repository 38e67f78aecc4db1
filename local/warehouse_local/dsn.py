"""Parse connection strings of libpq, SQLAlchemy and Airflow, and open connections in UTC.

libpq's URI: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
Airflow's forms: https://airflow.apache.org/docs/apache-airflow/stable/howto/connection.html
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from urllib.parse import quote

import psycopg

from warehouse_local.errors import DsnError

_POSTGRES_TYPES = {"postgres", "postgresql"}
_HOW_TO_GIVE_ONE = "Give one with --dsn, WAREHOUSE_DSN or AIRFLOW_CONN_WAREHOUSE."


def make_dsn(host: str, port: int, login: str, password: str, database: str) -> str:
    """Build a libpq URI; login and password may contain any character."""
    return f"postgresql://{quote(login, safe='')}:{quote(password, safe='')}@{host}:{port}/{quote(database)}"


def to_dsn(text: str) -> str:
    """Convert a libpq URI, a SQLAlchemy URL, an Airflow URI or Airflow's JSON form to a libpq URI."""
    text = text.strip()
    if text.startswith("{"):
        return _from_airflow_json(text)
    match = re.match(r"(?P<type>[a-z]+)(\+\w+)?://", text)
    if match is None or match["type"] not in _POSTGRES_TYPES:
        raise DsnError(
            "this connection is not a PostgreSQL one: it has to begin with postgresql:// (its value is "
            f"not shown because it may hold a password). {_HOW_TO_GIVE_ONE}"
        )
    # Airflow keeps its own settings in a query parameter that libpq does not know.
    return "postgresql://" + re.sub(r"[?&]__extra__=[^&]*", "", text[match.end() :])


def _from_airflow_json(text: str) -> str:
    try:
        fields = json.loads(text)
        if fields["conn_type"] not in _POSTGRES_TYPES:
            raise DsnError(f"the warehouse connection has type {fields['conn_type']!r}, not 'postgres'.")
        return make_dsn(
            fields.get("host") or "127.0.0.1",
            int(fields.get("port") or 5432),  # PostgreSQL's registered port
            fields.get("login") or "postgres",
            fields.get("password") or "",
            fields.get("schema") or fields.get("login") or "postgres",
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DsnError(f"the JSON form of the warehouse connection cannot be read: {error!r}.") from error


def dsn_from_environment(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the warehouse of WAREHOUSE_DSN, else of AIRFLOW_CONN_WAREHOUSE, else None."""
    for name in ("WAREHOUSE_DSN", "AIRFLOW_CONN_WAREHOUSE"):
        if environ.get(name):
            return to_dsn(environ[name])
    return None


def connect(dsn: str, *, connect_timeout_seconds: int = 10) -> psycopg.Connection[tuple[object, ...]]:
    """Open a connection with time zone UTC, so that PostgreSQL reads naive timestamps as UTC.

    Raises DsnError with libpq's own reason when the server cannot be reached.
    """
    try:
        return psycopg.connect(
            to_dsn(dsn), connect_timeout=connect_timeout_seconds, options="-c TimeZone=UTC -c DateStyle=ISO"
        )
    except psycopg.Error as error:
        raise DsnError(f"the warehouse does not answer: {str(error).strip()}") from error
