"""The seam between Braze's verbs and the network: one method, plain bytes in, plain bytes out."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractCookieJar
from yarl import URL

from braze_client.errors import WITHHELD

# Connecting to a healthy host takes milliseconds; reading waits for Braze's own gateway timeouts (about 60 s).
CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 65.0
# An unused connection is closed before load balancers do it: AWS's close after 60 s without traffic.
IDLE_SECONDS = 30.0
# A peer that vanished while a call waits is noticed after one minute and three unanswered probes.
KEEPALIVE_IDLE_SECONDS, KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_PROBES = 30, 10, 3


@dataclass(frozen=True)
class Answer:
    """What came back; header names in lower case, as HTTP/2 delivers them."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ConnectionFailed(Exception):  # ruff: ignore[error-suffix-on-exception-name] - an outcome of one try, turned into an error of ours by the client
    """No whole answer came: whether Braze took the call is unknown."""


class AiohttpTransport:
    """Send with aiohttp over kept-alive connections, from one event loop.

    :param base_url: REST endpoint of the Braze instance, with or without a trailing slash.
    :param api_key: REST API key; it goes into a header and nowhere else.
    :param connections: how many connections are open at most.
    """

    def __init__(self, base_url: str, api_key: str, *, connections: int = 128) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}

    async def send(self, method: str, path: str, body: bytes | None) -> Answer:
        """Send one request; redirects are not followed, a Braze endpoint never redirects.

        :param path: path and query, quoted.
        :raises ConnectionFailed: when no whole answer came.
        """
        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.request(
                method, self._url(path), data=body, allow_redirects=False
            ) as response:
                content = await response.read()
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, headers, content)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The error itself may show the headers, and with them the key.
            raise ConnectionFailed(f"{type(error).__name__} on {method} {shown_path(path)}") from None

    async def close(self) -> None:
        """Close the connections; the next ``send`` opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _url(self, path: str) -> URL:
        if path not in self._urls:
            if len(self._urls) > 100:  # paths of single items differ from call to call
                self._urls.clear()
            self._urls[path] = URL(self._base_url + path, encoded=True)
        return self._urls[path]

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            keepalive_timeout=IDLE_SECONDS,
            resolver=aiohttp.ThreadedResolver(),  # the machine's own, with its hosts file and search path
            socket_factory=_socket,
        )
        # No limit on the whole call: it includes waiting for a free connection.
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS
        )
        jar: AbstractCookieJar = aiohttp.DummyCookieJar()
        # Proxies and .netrc of the machine must not change where the key goes.
        return aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=timeout, cookie_jar=jar, trust_env=False
        )


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # not on macOS
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    return made


def shown_path(path: str) -> str:
    """Return a path for errors and logs: without the item id and the query that some hold."""
    before, items, _ = path.partition("?")[0].partition("/items/")
    return f"{before}{items}{WITHHELD}" if items else before
