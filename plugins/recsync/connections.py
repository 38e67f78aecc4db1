"""Read Airflow connections."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from recsync.errors import FatalError
from recsync.formatting import did_you_mean

if TYPE_CHECKING:
    from airflow.sdk import Connection

_PREFIX = "AIRFLOW_CONN_"


def connection(conn_id: str, *, field: str) -> Connection:
    """Return an Airflow connection.

    :param field: field of the program file that names the connection, for errors.
    :raises FatalError: there is no such connection, or it cannot be read.
    """
    variable = f"{_PREFIX}{conn_id.upper()}"
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        # Airflow goes on to its next source of connections when a variable cannot be read.
        if variable in os.environ:
            raise _unreadable(conn_id, variable) from None
        there = [name.removeprefix(_PREFIX).lower() for name in os.environ if name.startswith(_PREFIX)]
        hint = did_you_mean(conn_id, there) or "."
        raise FatalError(
            f"There is no Airflow connection {conn_id}, which the program file names as {field}{hint} Create it in "
            f"Airflow (Admin, Connections) or as {variable}, or correct {field}."
        ) from None
    except ValueError:
        # The text of the error may show the password.
        raise _unreadable(conn_id, variable) from None


def _unreadable(conn_id: str, variable: str) -> FatalError:
    return FatalError(
        f"The Airflow connection {conn_id} cannot be read: {variable} holds neither JSON nor a URI. In a URI, write "
        "special characters of user and password as %40 for @, %2F for / and so on."
    )
