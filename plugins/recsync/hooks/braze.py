"""Airflow's way to Braze: a connection of type ``braze`` becomes a client."""

from __future__ import annotations

from functools import cached_property

from airflow.sdk import BaseHook, Connection

from recsync.clients.braze import MAX_TRIES, BrazeClient
from recsync.clients.braze_transport import RequestsTransport
from recsync.errors import FatalError


class BrazeHook(BaseHook):
    """Call Braze's REST API.

    The connection: ``host`` is the REST endpoint of the instance (``https://`` is assumed when it has no
    scheme), ``password`` the REST API key, and ``extra`` may hold ``max_tries`` (tries per call, default 6).

    https://www.braze.com/docs/api/basics/#endpoints

    :param braze_conn_id: Airflow connection.
    :param connections: how many HTTP connections may be open at a time.
    """

    conn_name_attr = "braze_conn_id"
    default_conn_name = "braze_default"
    conn_type = "braze"
    hook_name = "Braze"

    def __init__(self, braze_conn_id: str = default_conn_name, *, connections: int = 1) -> None:
        super().__init__()
        self.braze_conn_id = braze_conn_id
        self.connections = connections

    @cached_property
    def client(self) -> BrazeClient:
        """Client of this connection; one per hook, safe for several threads."""
        connection = self.get_connection(self.braze_conn_id)
        if not connection.password:
            raise FatalError(
                f"Connection {self.braze_conn_id} has no password: put the Braze REST API key there."
            )
        transport = RequestsTransport(
            _base_url(connection, self.braze_conn_id), connection.password, connections=self.connections
        )
        tries = int(connection.extra_dejson.get("max_tries", MAX_TRIES))
        return BrazeClient(transport, secret=connection.password, max_tries=tries)

    def get_conn(self) -> BrazeClient:
        """Return the client, under the name that Airflow's hooks use."""
        return self.client


def _base_url(connection: Connection, conn_id: str) -> str:
    if not connection.host:
        raise FatalError(
            f"Connection {conn_id} has no host: put the REST endpoint of the Braze instance there."
        )
    host = (
        connection.host if "://" in connection.host else f"{connection.schema or 'https'}://{connection.host}"
    )
    return f"{host}:{connection.port}" if connection.port else host
