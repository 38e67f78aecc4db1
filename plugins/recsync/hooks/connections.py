"""Read Airflow connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from recsync.errors import FatalError

if TYPE_CHECKING:
    from airflow.sdk import Connection


def connection(conn_id: str, *, field: str) -> Connection:
    """Return an Airflow connection.

    :param field: field of the program file that names the connection, for errors.
    :raises FatalError: there is no such connection, or it cannot be read.
    """
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise FatalError(
            f"There is no Airflow connection {conn_id}, which the program file names as {field}. Create it in Airflow "
            f"(Admin, Connections) or as {variable}, or correct {field}."
        ) from None
    except ValueError as error:
        # The text of the error may show the password.
        raise FatalError(
            f"The Airflow connection {conn_id} cannot be read ({type(error).__name__}): {variable} holds neither JSON "
            "nor a URI. Correct it."
        ) from None
