"""The Airflow hook of Braze: a connection of type ``braze`` becomes a client."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import replace
from functools import cached_property
from urllib.parse import urlsplit

from airflow.sdk import BaseHook, Connection

from braze_client.client import BrazeClient
from braze_client.rate_plan import RatePlan
from braze_client.transport import AiohttpTransport
from recsync.errors import FatalError
from recsync.settings import connection, pace_redis_url


class BrazeHook(BaseHook):
    """Call Braze's REST API.

    The connection: ``host`` is the REST endpoint of the instance (``https://`` is assumed when it has no
    scheme), ``password`` the REST API key, and ``extra`` the fields of :class:`RatePlan` that differ from Braze's
    defaults.

    https://www.braze.com/docs/api/basics/#endpoints

    :param braze_conn_id: Airflow connection.
    """

    conn_name_attr = "braze_conn_id"
    default_conn_name = "braze_default"
    conn_type = "braze"
    hook_name = "Braze"

    def __init__(self, braze_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.braze_conn_id = braze_conn_id

    @cached_property
    def _connection(self) -> Connection:
        return connection(self.braze_conn_id, field="braze.connection")

    @cached_property
    def rate_plan(self) -> RatePlan:
        """The contract's limits, read without a call.

        :raises FatalError: naming everything that is wrong with the extra.
        """
        return RatePlan.from_extra(self._connection.extra_dejson, conn_id=self.braze_conn_id)

    @property
    def workspace(self) -> str:
        """Name the workspace that the connection leads to by host and key, without telling the key.

        :raises FatalError: when there is no such connection, or it has no host.
        """
        host = _base_url(self._connection, self.braze_conn_id).rstrip("/")
        key = hashlib.blake2b((self._connection.password or "").encode(), digest_size=16).hexdigest()
        return f"{host} {key}"

    def client(self, *, max_tries: int | None = None) -> BrazeClient:
        """Make a client, for ``async with``.

        :param max_tries: tries of a call. Default: as the rate plan says.
        :raises FatalError: when the connection lacks the key or the host, or would send the key unencrypted.
        """
        key = self._connection.password
        if not key:
            raise FatalError(
                f"Connection {self.braze_conn_id} has no password: put the Braze REST API key there."
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise FatalError(
                f"Connection {self.braze_conn_id}: the password holds characters that no API key has, such as a "
                "space or a line break: put the Braze REST API key there and nothing else."
            )
        host = _base_url(self._connection, self.braze_conn_id)
        if urlsplit(host).scheme != "https" and not (self.rate_plan.allow_http or _is_loopback(host)):
            raise FatalError(
                f"Connection {self.braze_conn_id}: the host begins with http://, so the API key would be sent "
                'unencrypted. Write https://, or put "allow_http": true into extra for a server of a private network.'
            )
        transport = AiohttpTransport(host, key, connections=self.rate_plan.connections)
        plan = replace(self.rate_plan, max_tries=max_tries) if max_tries else self.rate_plan
        return BrazeClient(
            transport, workspace=host.rstrip("/"), secret=key, plan=plan, pace_redis_url=pace_redis_url()
        )

    def get_conn(self) -> BrazeClient:
        """Return a client, under the name that Airflow's hooks use."""
        return self.client()


def _base_url(connection: Connection, conn_id: str) -> str:
    if not connection.host:
        raise FatalError(
            f"Connection {conn_id} has no host: put the REST endpoint of the Braze instance there."
        )
    host = (
        connection.host if "://" in connection.host else f"{connection.schema or 'https'}://{connection.host}"
    )
    return f"{host}:{connection.port}" if connection.port else host


def _is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
