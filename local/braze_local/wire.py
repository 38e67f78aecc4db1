"""Carry one HTTP request and one response between the ASGI server and the endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs

import msgspec

from braze_local.distortion import Distortion

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

# Braze: the body of any request holds at most 4 MB, else 413.
BODY_MAX_BYTES = 4 * 1024 * 1024
_JSON = b"application/json"
_UNPARSED: Any = object()


class BodyError(ValueError):
    """Say that a body is not JSON."""


@dataclass(slots=True)
class Request:
    """Hold one request; `received_bytes` counts what came even when the body was too large to keep.

    `distortion` and `delay_seconds` are what scripted faults do to it: to single objects, and how much later
    than usual it takes effect.
    """

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    client: tuple[str, int] | None
    body: bytes
    received_bytes: int
    parameters: tuple[str, ...] = ()
    objects: int = 0
    distortion: Distortion | None = None
    delay_seconds: float = 0.0
    _parsed: Any = _UNPARSED

    def json(self) -> Any:
        """Parse the body, once. Raises BodyError for anything but JSON in UTF-8."""
        if self._parsed is _UNPARSED:
            try:
                self._parsed = msgspec.json.decode(self.body)
            except (ValueError, RecursionError) as error:
                raise BodyError(str(error)) from error
        return self._parsed

    def argument(self, name: str, default: str = "") -> str:
        """Return a query parameter."""
        return parse_qs(self.query.decode("latin-1")).get(name, [default])[-1]

    def number(self, name: str, default: int, maximum: int = 10**12) -> int:
        """Return a query parameter as an integer from 0 to `maximum`, or the default when it is none."""
        text = self.argument(name)
        return min(int(text), maximum) if text.isascii() and text.isdigit() and len(text) < 19 else default


@dataclass(slots=True)
class Response:
    """Hold one response; with `stream` its body comes in pieces, ended by `body`, without a length."""

    status: int
    body: bytes = b""
    content_type: bytes = _JSON
    headers: list[Header] = field(default_factory=list)
    stream: Iterable[bytes] | None = None

    def with_headers(self, headers: Iterable[Header]) -> Self:
        """Add headers and return itself."""
        self.headers += headers
        return self


def json_response(status: int, content: Any, headers: Iterable[Header] = ()) -> Response:
    """Answer with JSON."""
    return Response(status, msgspec.json.encode(content), _JSON, list(headers))


def message(status: int, text: str) -> Response:
    """Answer with ``{"message": text}``, the shape of most of Braze's answers."""
    return json_response(status, {"message": text})


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Read a whole request; a body over 4 MB is not kept, but read so that the client hears the 413."""
    chunks: list[bytes] = []
    received_bytes, more = 0, True
    while more:
        event = await receive()
        chunk = event.get("body", b"")
        received_bytes += len(chunk)
        if received_bytes <= BODY_MAX_BYTES:
            chunks.append(chunk)
        more = event.get("more_body", False)
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"],
        headers=dict(scope["headers"]),
        client=scope["client"],
        body=b"".join(chunks),
        received_bytes=received_bytes,
    )


async def send_response(send: Send, response: Response, *, body_bytes: int | None = None) -> None:
    """Send a response, or only the first `body_bytes` of its body although all were announced."""
    headers = [(b"content-type", response.content_type), *response.headers]
    if response.stream is None:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    for piece in response.stream or ():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    whole = body_bytes is None
    await send({"type": "http.response.body", "body": response.body[:body_bytes], "more_body": not whole})
