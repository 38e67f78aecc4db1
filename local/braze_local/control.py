"""Answer the control API under /_local, which Braze does not have.

| request | what it does |
|---|---|
| GET, POST, DELETE ``faults`` | list the pending faults; add one or an array of them; delete all |
| GET, DELETE ``faults/fired`` | how often each fault fired, by name; reset the counts |
| GET, PATCH ``settings`` | read or change the settings that can change while the server runs |
| GET ``meter``, POST ``meter/reset`` | every counter; reset all |
| GET, DELETE ``writes`` | how often each user's attributes were written (``?min=2``: at least twice) |
| GET ``attributes`` | the locked type and the counters of each attribute |
| GET ``profiles``, ``profiles/<external_id>`` | applied state, in pages (``prefix``, ``limit``, ``offset``) |
| GET ``profiles.ndjson``, ``items.ndjson`` | every profile, or item of ``?catalog=``, as JSON lines |
| GET ``log`` | the latest requests |
| POST ``flush`` | apply everything accepted now, due or not |
| POST ``profiles`` | import profiles at once, as Braze's CSV import: an array of attributes objects |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing

import msgspec

from braze_local.api import Handler, answered
from braze_local.faults import Fault
from braze_local.profiles import with_defaults
from braze_local.sandbox import LOG_LENGTH, Sandbox
from braze_local.settings import Adjustments, adjustable
from braze_local.store import LAST_CHARACTER, connect
from braze_local.track_validation import attributes_problem
from braze_local.wire import Request, Response, json_response, message

# Default and maximum of profiles per response.
PAGE_PROFILES, PAGE_PROFILES_MAX = 100, 1_000
_ROWS_PER_PIECE = 2_000
_NDJSON = b"application/x-ndjson"


async def control(sandbox: Sandbox, request: Request) -> Response:
    """Answer one request under /_local."""
    path = request.path.removeprefix("/_local/")
    endpoint = _ENDPOINTS.get((request.method, path))
    if endpoint:
        try:
            return await answered(endpoint(sandbox, request))
        except ValueError as error:
            return message(400, str(error))
    if request.method == "GET" and path.startswith("profiles/"):
        document = sandbox.reader.profile(path.removeprefix("profiles/"))
        return json_response(200, document) if document else message(404, "no such profile")
    return message(404, "unknown path")


def _add_faults(sandbox: Sandbox, request: Request) -> Response:
    """Take one fault or an array of them. Raises ValueError."""
    body = request.json()
    for fault in msgspec.convert(body if isinstance(body, list) else [body], list[Fault]):
        sandbox.faults.add(fault)
    return _list_faults(sandbox, request)


def _list_faults(sandbox: Sandbox, _request: Request) -> Response:
    return json_response(200, {"faults": sandbox.faults.listed()})


def _clear_faults(sandbox: Sandbox, request: Request) -> Response:
    sandbox.faults.clear()
    return _list_faults(sandbox, request)


def _fired(sandbox: Sandbox, _request: Request) -> Response:
    return json_response(200, {"fired": sandbox.faults.fired()})


def _reset_fired(sandbox: Sandbox, request: Request) -> Response:
    sandbox.faults.reset_fired()
    return _fired(sandbox, request)


def _settings(sandbox: Sandbox, _request: Request) -> Response:
    return json_response(200, adjustable(sandbox.settings))


def _adjust(sandbox: Sandbox, request: Request) -> Response:
    """Change what the body names. Raises ValueError."""
    sandbox.adjust(msgspec.convert(request.json(), Adjustments))
    return _settings(sandbox, request)


def _meter(sandbox: Sandbox, _request: Request) -> Response:
    return json_response(200, sandbox.meter.report() | {"pending_requests": sandbox.writer.pending})


def _reset_meter(sandbox: Sandbox, request: Request) -> Response:
    sandbox.meter.reset()
    return _meter(sandbox, request)


def _writes(sandbox: Sandbox, request: Request) -> Response:
    by_user = sandbox.meter.writes(request.number("min", 1))
    return json_response(200, sandbox.meter.write_totals() | {"by_user": by_user})


def _reset_writes(sandbox: Sandbox, request: Request) -> Response:
    sandbox.meter.reset_writes()
    return _writes(sandbox, request)


def _attributes(sandbox: Sandbox, _request: Request) -> Response:
    types, figures = dict(sandbox.writer.rules.types), sandbox.meter.report()["attributes"]
    listed = {n: {"type": types.get(n)} | figures.get(n, {}) for n in sorted(types.keys() | figures.keys())}
    return json_response(200, {"attributes": listed})


def _profiles(sandbox: Sandbox, request: Request) -> Response:
    prefix = request.argument("prefix")
    page = sandbox.reader.profiles(
        limit=request.number("limit", PAGE_PROFILES, PAGE_PROFILES_MAX),
        offset=request.number("offset", 0),
        prefix=prefix,
    )
    return json_response(200, {"profiles": page, "total": sandbox.reader.profile_count(prefix)})


def _log(sandbox: Sandbox, request: Request) -> Response:
    return json_response(
        200, {"requests": sandbox.log.latest(request.number("limit", LOG_LENGTH, LOG_LENGTH))}
    )


async def _import_profiles(sandbox: Sandbox, request: Request) -> Response:
    """Create or update profiles at once, without costs, limits and a delay. Raises ValueError for a bad object."""
    people = request.json()
    if not isinstance(people, list):
        raise ValueError("the body must be an array of attributes objects")
    for number, person in enumerate(people):
        if problem := attributes_problem(person):
            raise ValueError(f"object {number}: {problem}")
    await sandbox.import_profiles(people)
    return json_response(201, {"imported": len(people)})


async def _flush(sandbox: Sandbox, _request: Request) -> Response:
    await asyncio.wrap_future(sandbox.writer.flush())
    return message(200, "everything accepted is applied")


class _Custom(msgspec.Struct):
    """Decode a profile only as far as most tests need; the attributes stay encoded."""

    external_id: str | None = None
    custom_attributes: msgspec.Raw = msgspec.Raw(b"{}")


def dump_profiles(sandbox: Sandbox, request: Request) -> Response:
    """Stream the applied state of every profile, one JSON object per line, by external_id.

    ``?prefix=`` filters by the start of the external_id. A line holds external_id and custom_attributes, or
    the whole profile with ``?whole=true``.
    """
    prefix = request.argument("prefix")
    query = "SELECT document FROM profiles ORDER BY external_id"
    if prefix:
        query = query.replace("ORDER", "WHERE external_id >= ? AND external_id < ? ORDER")
    parameters = (prefix, prefix + LAST_CHARACTER) if prefix else ()
    line = _whole if request.argument("whole") == "true" else _custom
    return Response(200, content_type=_NDJSON, stream=_lines(sandbox, query, parameters, line))


def dump_items(sandbox: Sandbox, request: Request) -> Response:
    """Stream every item of the catalog ``?catalog=``, one JSON object per line, by id."""
    catalog = sandbox.catalogs.get(request.argument("catalog"))
    if catalog is None:
        return message(404, "no such catalog")
    query = "SELECT document FROM items WHERE catalog_id = ? ORDER BY id"
    return Response(200, content_type=_NDJSON, stream=_lines(sandbox, query, (catalog.id,), bytes))


def _custom(document: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(document, type=_Custom))


def _whole(document: bytes) -> bytes:
    return msgspec.json.encode(with_defaults(msgspec.json.decode(document)))


def _lines(
    sandbox: Sandbox, query: str, parameters: tuple[str | int, ...], line: Callable[[bytes], bytes]
) -> Iterator[bytes]:
    """Read one snapshot through a separate connection, so that other readers do not wait."""
    with closing(connect(sandbox.settings.data)) as connection:
        cursor = connection.execute(query, parameters)
        while rows := cursor.fetchmany(_ROWS_PER_PIECE):
            yield b"\n".join(line(row[0]) for row in rows) + b"\n"


_ENDPOINTS: dict[tuple[str, str], Handler] = {
    ("GET", "faults"): _list_faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "faults/fired"): _fired,
    ("DELETE", "faults/fired"): _reset_fired,
    ("GET", "settings"): _settings,
    ("PATCH", "settings"): _adjust,
    ("GET", "meter"): _meter,
    ("POST", "meter/reset"): _reset_meter,
    ("GET", "writes"): _writes,
    ("DELETE", "writes"): _reset_writes,
    ("GET", "attributes"): _attributes,
    ("GET", "profiles"): _profiles,
    ("GET", "profiles.ndjson"): dump_profiles,
    ("GET", "items.ndjson"): dump_items,
    ("GET", "log"): _log,
    ("POST", "flush"): _flush,
    ("POST", "profiles"): _import_profiles,
}
