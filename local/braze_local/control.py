"""Answer the control API under /_local, which Braze does not have.

| request | what it does |
|---|---|
| GET, POST, DELETE ``faults`` | list the faults still to come; script one or an array of them; forget them |
| GET, DELETE ``faults/fired`` | how often each fault fired, by name; set the counts to zero |
| GET, PATCH ``settings`` | what may be changed while the server runs, and changing it |
| GET ``meter``, POST ``meter/reset`` | every counter; all to zero |
| GET, DELETE ``writes`` | how often each user's attributes were written (``?min=2``: who more than once) |
| GET ``attributes`` | the type each attribute is locked to, beside its figures of the meter |
| GET ``profiles``, ``profiles/<external_id>`` | applied state, by pages (``prefix``, ``limit``, ``offset``) |
| GET ``profiles.ndjson``, ``items.ndjson`` | all of it, streamed, see `dumps` |
| GET ``log`` | the latest requests |
| POST ``flush`` | apply everything accepted now, due or not |
"""

from __future__ import annotations

import asyncio

import msgspec

from braze_local.dumps import dump_items, dump_profiles
from braze_local.faults import Fault
from braze_local.request_log import LENGTH
from braze_local.routes import Handler, answered
from braze_local.sandbox import Sandbox
from braze_local.settings import Adjustments, shown
from braze_local.wire import Request, Response, json_response, message

# Profiles per answer, when not said otherwise and at most.
PAGE_PROFILES, PAGE_PROFILES_MAX = 100, 1_000


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


def _forget_fired(sandbox: Sandbox, request: Request) -> Response:
    sandbox.faults.forget_fired()
    return _fired(sandbox, request)


def _settings(sandbox: Sandbox, _request: Request) -> Response:
    return json_response(200, shown(sandbox.settings))


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
    return json_response(200, {"requests": sandbox.log.latest(request.number("limit", LENGTH, LENGTH))})


async def _flush(sandbox: Sandbox, _request: Request) -> Response:
    await asyncio.wrap_future(sandbox.writer.flush())
    return message(200, "everything accepted is applied")


_ENDPOINTS: dict[tuple[str, str], Handler] = {
    ("GET", "faults"): _list_faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "faults/fired"): _fired,
    ("DELETE", "faults/fired"): _forget_fired,
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
}
