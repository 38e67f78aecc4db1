"""Answer the control API under /_local, which Braze does not have: faults, meter, profiles, log, flush."""

from __future__ import annotations

import asyncio

import msgspec

from braze_local.faults import Fault
from braze_local.request_log import LENGTH
from braze_local.routes import Handler, answered
from braze_local.sandbox import Sandbox
from braze_local.wire import Request, Response, json_response, message

# Profiles per answer, when not said otherwise and at most.
PAGE_PROFILES, PAGE_PROFILES_MAX = 100, 1_000


async def control(sandbox: Sandbox, request: Request) -> Response:
    """Answer one request under /_local."""
    path = request.path.removeprefix("/_local/")
    endpoint = _ENDPOINTS.get((request.method, path))
    if endpoint:
        return await answered(endpoint(sandbox, request))
    if request.method == "GET" and path.startswith("profiles/"):
        document = sandbox.reader.profile(path.removeprefix("profiles/"))
        return json_response(200, document) if document else message(404, "no such profile")
    return message(404, "unknown path")


def _add_faults(sandbox: Sandbox, request: Request) -> Response:
    """Take one fault or an array of them."""
    try:
        body = request.json()
        faults = msgspec.convert(body if isinstance(body, list) else [body], list[Fault])
    except ValueError as error:
        return message(400, str(error))
    for fault in faults:
        sandbox.faults.add(fault)
    return _list_faults(sandbox, request)


def _list_faults(sandbox: Sandbox, _request: Request) -> Response:
    return json_response(200, {"faults": sandbox.faults.listed()})


def _clear_faults(sandbox: Sandbox, request: Request) -> Response:
    sandbox.faults.clear()
    return _list_faults(sandbox, request)


def _meter(sandbox: Sandbox, _request: Request) -> Response:
    return json_response(200, sandbox.meter.report() | {"pending_requests": sandbox.writer.pending})


def _reset_meter(sandbox: Sandbox, request: Request) -> Response:
    sandbox.meter.reset()
    return _meter(sandbox, request)


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
    ("GET", "meter"): _meter,
    ("POST", "meter/reset"): _reset_meter,
    ("GET", "profiles"): _profiles,
    ("GET", "log"): _log,
    ("POST", "flush"): _flush,
}
