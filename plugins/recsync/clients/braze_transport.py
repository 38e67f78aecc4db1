"""The seam between Braze's verbs and the network: one method, plain bytes in, plain bytes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import requests
from requests.adapters import HTTPAdapter

# Connecting to a healthy host takes milliseconds; reading waits for Braze's own gateway timeouts (about 60 s).
CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 65.0


@dataclass(frozen=True)
class Answer:
    """What came back; header names in lower case, as HTTP/2 delivers them."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ConnectionFailed(Exception):  # ruff: ignore[error-suffix-on-exception-name] - an outcome of one try, turned into an error of ours by the client
    """No whole answer came: whether Braze took the call is unknown."""


class Transport(Protocol):
    """Send one request and return the answer."""

    def send(self, method: str, path: str, body: bytes | None) -> Answer:
        """Send ``body`` to ``path``.

        :raises ConnectionFailed: when no whole answer came.
        """


class RequestsTransport:
    """Send with ``requests`` over kept-alive connections; safe to use from several threads.

    :param base_url: REST endpoint of the Braze instance, without a trailing slash.
    :param api_key: REST API key; it goes into a header and nowhere else.
    :param connections: how many connections are kept.
    """

    def __init__(self, base_url: str, api_key: str, *, connections: int = 8) -> None:
        self._base_url = base_url.rstrip("/")
        self._session = requests.Session()
        # Proxies and .netrc of the machine must not change where the key goes.
        self._session.trust_env = False
        self._session.headers.update(
            {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        )
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def send(self, method: str, path: str, body: bytes | None) -> Answer:
        """Send one request; redirects are not followed, a Braze endpoint never redirects."""
        try:
            response = self._session.request(
                method,
                self._base_url + path,
                data=body,
                timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise ConnectionFailed(f"{type(error).__name__} on {method} {path}") from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, response.content)
