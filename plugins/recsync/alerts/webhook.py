"""Post a message to a webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from airflow.sdk import BaseHook, BaseNotifier
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from recsync.errors import FatalError, RetriableError

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context

# A failed task waits for this; a message is not worth minutes of a worker.
_TIMEOUT_SECONDS = 10
_TRIES = 3


class WebhookNotifier(BaseNotifier):
    """Post JSON to the address that an Airflow connection holds.

    Airflow's ``HttpNotifier`` writes the address to the log when the server fails; the address of a Slack webhook is
    its secret.

    :param connection: host (with ``https://`` or the schema beside it) and port; the password is what follows in the
        path, as in Slack's own connection type, or with a login the password of basic authentication. The extra
        ``headers`` is a mapping.
    :param body: what is posted.
    :raises RetriableError: the server cannot be reached or fails, three times.
    :raises FatalError: the server refuses the message.
    """

    def __init__(self, *, connection: str, body: dict[str, Any]) -> None:
        super().__init__()
        self.connection = connection
        self.body = body

    def notify(self, context: Context) -> None:
        """Post once; again when the server cannot take it now."""
        self._post(BaseHook.get_connection(self.connection))

    @retry(
        retry=retry_if_exception_type(RetriableError),
        stop=stop_after_attempt(_TRIES),
        wait=wait_exponential(multiplier=0.5),
        reraise=True,
    )
    def _post(self, connection: Connection) -> None:
        try:
            answer = requests.post(
                address(connection),
                json=self.body,
                auth=(connection.login, connection.password or "") if connection.login else None,
                headers=connection.extra_dejson.get("headers"),
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # Its text holds the address.
            raise RetriableError(
                f"The webhook of connection {self.connection} cannot be reached: {type(error).__name__}."
            ) from None
        if answer.status_code == requests.codes.too_many_requests or answer.status_code >= 500:
            raise RetriableError(f"The webhook of connection {self.connection} answers {answer.status_code}.")
        if not answer.ok or answer.is_redirect:
            raise FatalError(
                f"The webhook of connection {self.connection} refuses the message with {answer.status_code}: correct "
                "the connection's host and password."
            )


def address(connection: Connection) -> str:
    """Put a webhook's address together from its connection.

    :raises FatalError: the connection has no host, or a path as its schema.
    """
    host = (connection.host or "").rstrip("/")
    if not host:
        raise FatalError(f"Connection {connection.conn_id} has no host: the address of the webhook.")
    if (connection.schema or "https") not in {"http", "https"}:
        raise FatalError(
            f"Connection {connection.conn_id}: the schema must be http or https, or empty. Airflow reads the path of a "
            "URI as the schema; put the address into host as https://…, and what follows in it into password."
        )
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    if connection.port:
        host = f"{host}:{connection.port}"
    return (
        host if connection.login or not connection.password else f"{host}/{connection.password.lstrip('/')}"
    )
