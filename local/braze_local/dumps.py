"""Stream everything there is as JSON lines, for tests that check every user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import msgspec

from braze_local.profiles import complete
from braze_local.reader import LAST_CHARACTER
from braze_local.sandbox import Sandbox
from braze_local.store import connect
from braze_local.wire import Request, Response, message

_ROWS_PER_PIECE = 2_000
_NDJSON = b"application/x-ndjson"


class _Custom(msgspec.Struct):
    """Pick what most tests compare out of a profile, leaving the attributes encoded."""

    external_id: str | None = None
    custom_attributes: msgspec.Raw = msgspec.Raw(b"{}")


def dump_profiles(sandbox: Sandbox, request: Request) -> Response:
    """Stream the applied state of every profile, one JSON object per line, by external_id.

    ``?prefix=`` keeps those whose external_id starts so. A line holds external_id and custom_attributes;
    with ``?whole=true`` it is the whole profile.
    """
    prefix = request.argument("prefix")
    query = "SELECT document FROM profiles ORDER BY external_id"
    if prefix:
        query = query.replace("ORDER", "WHERE external_id >= ? AND external_id < ? ORDER")
    parameters = (prefix, prefix + LAST_CHARACTER) if prefix else ()
    line = _whole if request.argument("whole") == "true" else _custom
    return Response(200, content_type=_NDJSON, stream=_lines(sandbox, query, parameters, line))


def dump_items(sandbox: Sandbox, request: Request) -> Response:
    """Stream every item of the catalogue ``?catalog=`` names, one JSON object per line, by id."""
    catalog = sandbox.catalogs.get(request.argument("catalog"))
    if catalog is None:
        return message(404, "no such catalog")
    query = "SELECT document FROM items WHERE catalog_id = ? ORDER BY id"
    return Response(200, content_type=_NDJSON, stream=_lines(sandbox, query, (catalog.id,), bytes))


def _custom(document: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(document, type=_Custom))


def _whole(document: bytes) -> bytes:
    return msgspec.json.encode(complete(msgspec.json.decode(document)))


def _lines(
    sandbox: Sandbox, query: str, parameters: tuple[str | int, ...], line: Callable[[bytes], bytes]
) -> Iterator[bytes]:
    """Read through a connection of its own: one snapshot, and no other reader is held up in it."""
    with closing(connect(sandbox.settings.data)) as connection:
        cursor = connection.execute(query, parameters)
        while rows := cursor.fetchmany(_ROWS_PER_PIECE):
            yield b"\n".join(line(row[0]) for row in rows) + b"\n"
