"""Serve the API, the control API and the pages as one ASGI application."""

from __future__ import annotations

import asyncio
import secrets
from typing import Protocol

from braze_local import api
from braze_local.control import control
from braze_local.distortion import Placed, placed_objects
from braze_local.faults import Fault
from braze_local.pages import page
from braze_local.routes import route_of
from braze_local.sandbox import Sandbox
from braze_local.wire import (
    BodyError,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    message,
    read_request,
    send_response,
)

_LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
_LOOPBACK_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_PAGES = ("/profiles/", "/ui/")


class Cut(Protocol):
    """End the connection a request came on, which ASGI itself offers no way to."""

    def __call__(self, scope: Scope, *, reset: bool) -> None: ...


class App:
    """Dispatch each request; `cut` is the server's way to end a connection."""

    def __init__(self, sandbox: Sandbox, cut: Cut) -> None:
        self._sandbox = sandbox
        self._cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = await read_request(scope, receive)
        if request.path == "/health":
            await send_response(send, self._health())
        elif request.path == "/" or request.path.startswith(_PAGES):
            await send_response(send, self._refusal(request) or page(self._sandbox, request))
        elif request.path.startswith("/_local/"):
            await send_response(send, self._refusal(request) or await control(self._sandbox, request))
        else:
            await self._serve_api(request, scope, receive, send)

    async def _serve_api(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        arrived_seconds = asyncio.get_running_loop().time()
        hit = self._sandbox.faults.hit(request.method, request.path, lambda: _objects(request))
        request.distortion, request.delay_seconds = hit.distortion, hit.delay_seconds
        fault, served = hit.call, None
        if fault is None or fault.applies:
            name, served = await api.answer(self._sandbox, request)
        else:
            route = route_of(request)
            name = route.template if route else api.UNKNOWN_PATH
        if fault and fault.kind in {"timeout", "reset"}:
            self._record(name, request, fault.label)
            await self._end(fault, scope, receive)
            return
        response = fault.answer(served) if fault else served
        assert response is not None  # without a fault the request was served
        self._record(name, request, fault.label if fault else str(response.status))
        response.headers.append(_request_id())
        await self._delay(arrived_seconds)
        if fault and fault.kind == "truncate":
            await send_response(send, response, body_bytes=len(response.body) // 2)
            await self._end(fault, scope, receive)
        else:
            await send_response(send, response)

    async def _delay(self, since_seconds: float) -> None:
        """Let as much time pass since the request came as every answer is to take."""
        latency_ms = self._sandbox.settings.latency_ms
        if latency_ms:
            passed_seconds = asyncio.get_running_loop().time() - since_seconds
            await asyncio.sleep(latency_ms / 1000 - passed_seconds)

    async def _end(self, fault: Fault, scope: Scope, receive: Receive) -> None:
        if fault.kind == "timeout":
            await _hold(receive, fault.held_seconds)
        self._cut(scope, reset=fault.kind == "reset")
        # Until the server has noticed, returning without a whole response would be an error to it.
        await receive()

    def _record(self, name: str, request: Request, outcome: str) -> None:
        self._sandbox.meter.count_request(name, outcome, request.objects, request.received_bytes)
        self._sandbox.log.add(request.method, request.path, outcome, request.objects, request.received_bytes)

    def _health(self) -> Response:
        running = self._sandbox.writer.running
        return message(200, "ok") if running else message(503, "the writer has stopped")

    def _refusal(self, request: Request) -> Response | None:
        """Keep other machines, and web pages that happen to be open on this one, out of what needs no key."""
        if self._sandbox.settings.open_to_all:
            return None
        host = request.headers.get(b"host", b"").decode("latin-1")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        origin = request.headers.get(b"origin", b"").decode("latin-1")
        local = request.client is not None and request.client[0] in _LOOPBACK and name in _LOOPBACK_NAMES
        if local and origin in {"", f"http://{host}"}:
            return None
        return message(403, "only from this machine")


def _objects(request: Request) -> list[Placed]:
    try:
        return placed_objects(request.json())
    except BodyError:
        return []


async def _hold(receive: Receive, seconds: float) -> None:
    """Wait until the client hangs up, or for so long."""
    try:
        async with asyncio.timeout(seconds):
            await receive()
    except TimeoutError:
        return


def _request_id() -> tuple[bytes, bytes]:
    return b"x-request-id", secrets.token_hex(16).encode()
