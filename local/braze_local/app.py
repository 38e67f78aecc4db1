"""Serve the API, the control API and the pages as one ASGI application."""

from __future__ import annotations

import asyncio
import secrets
from typing import Protocol

from braze_local import api
from braze_local.control import control
from braze_local.faults import Fault
from braze_local.pages import page
from braze_local.routes import route_of
from braze_local.sandbox import Sandbox
from braze_local.wire import (
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
        fault = self._sandbox.faults.take(request.method, request.path)
        if fault is None:
            name, response = await api.answer(self._sandbox, request)
            self._record(name, request, str(response.status))
            response.headers.append(_request_id())
            await send_response(send, response)
            return
        response = message(500, "not applied")
        route = route_of(request)
        name = route.template if route else api.UNKNOWN_PATH
        if fault.applies:
            name, response = await api.answer(self._sandbox, request)
        self._record(name, request, fault.label)
        await self._play(fault, response, scope, receive, send)

    async def _play(
        self, fault: Fault, response: Response, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if fault.kind in {"status", "html502"}:
            scripted = fault.answer()
            scripted.headers.append(_request_id())
            await send_response(send, scripted)
            return
        if fault.kind == "truncate":
            await send_response(send, response, body_bytes=len(response.body) // 2)
        elif fault.kind == "timeout":
            await _hold(receive, fault.seconds)
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


async def _hold(receive: Receive, seconds: float) -> None:
    """Wait until the client hangs up, or for so long."""
    try:
        async with asyncio.timeout(seconds):
            await receive()
    except TimeoutError:
        return


def _request_id() -> tuple[bytes, bytes]:
    return b"x-request-id", secrets.token_hex(16).encode()
