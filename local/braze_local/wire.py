"""Hold one HTTP request and one response; read and send them over ASGI.

A request also carries the scripted faults of its objects (`ObjectFaults`). An object is identified by its
place: the name of its array and its index there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs

import msgspec

from braze_local.identifiers import name_of

Place = tuple[str, int]
# The arrays of /users/track, then that of catalog items.
_ARRAYS = ("attributes", "events", "purchases", "items")


class PlacedObject(NamedTuple):
    """Hold the place of an object and its user's identifier (for an alias its name) or item id, if any."""

    place: Place
    identity: str | None


@dataclass(slots=True)
class ObjectFaults:
    """Collect the scripted faults of the objects in one request.

    `rejected` objects get an error entry and are not applied. `unapplied` objects pass as valid and are never
    applied. `extra_errors` are error entries without a place, with a wrong place, repeated, or for an object
    that is processed. `uncounted` is subtracted from the processed count of each array.
    """

    rejected: dict[Place, str] = field(default_factory=dict)
    unapplied: set[Place] = field(default_factory=set)
    extra_errors: list[dict[str, Any]] = field(default_factory=list)
    uncounted: Counter[str] = field(default_factory=Counter)


def placed_objects(body: Any) -> list[PlacedObject]:
    """Return every object of a body, in order."""
    if not isinstance(body, dict):
        return []
    return [
        PlacedObject((name, index), _identity(candidate))
        for name in _ARRAYS
        if isinstance(body.get(name), list)
        for index, candidate in enumerate(body[name])
    ]


def _identity(candidate: Any) -> str | None:
    if not isinstance(candidate, dict):
        return None
    item_id = candidate.get("id")
    return name_of(candidate) or (item_id if isinstance(item_id, str) else None)


Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

# Braze: the body of any request holds at most 4 MB, else 413.
BODY_MAX_BYTES = 4 * 1024 * 1024
_JSON = b"application/json"
_UNPARSED: Any = object()


class BodyError(ValueError):
    """The body is not JSON."""


@dataclass(slots=True)
class Request:
    """Hold one request.

    `received_bytes` includes a body that was too large to keep. Scripted faults set `object_faults` and
    `delay_seconds`, an extra delay until the request is applied.
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
    object_faults: ObjectFaults | None = None
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
        """Return a query parameter as an integer from 0 to `maximum`, or the default if it is not one."""
        text = self.argument(name)
        return min(int(text), maximum) if text.isascii() and text.isdigit() and len(text) < 19 else default


@dataclass(slots=True)
class Response:
    """Hold one response; with `stream`, the body is sent in pieces, then `body`, without a content length."""

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
    """Answer with ``{"message": text}``, as most of Braze's endpoints do."""
    return json_response(status, {"message": text})


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Read a whole request; a body over 4 MB is read, so that the client gets the 413, but not kept."""
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
    """Send a response; with `body_bytes`, cut the body short although the content length is the whole one."""
    headers = [(b"content-type", response.content_type), *response.headers]
    if response.stream is None:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    for piece in response.stream or ():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    whole = body_bytes is None
    await send({"type": "http.response.body", "body": response.body[:body_bytes], "more_body": not whole})
