"""Serve the API, the control API and the pages as one ASGI application under uvicorn."""

from __future__ import annotations

import asyncio
import gc
import secrets
import signal
import socket
import struct
import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from braze_local import api
from braze_local.api import route_of
from braze_local.control import control
from braze_local.faults import Fault
from braze_local.pages import page
from braze_local.sandbox import Sandbox
from braze_local.settings import Settings
from braze_local.wire import (
    BodyError,
    PlacedObject,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    message,
    placed_objects,
    read_request,
    send_response,
)

_LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
_LOOPBACK_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_PAGES = ("/profiles/", "/ui/")
# Grace period for requests in flight at a stop; only a scripted timeout takes this long.
STOP_GRACE_SECONDS = 1
# Parsed requests are many short-lived objects: with Python's default thresholds, GC takes a fifth of the time.
_GC_THRESHOLDS = (100_000, 50, 50)
# How long the writer thread may hold the GIL while an answer waits. With Python's default of 5 ms, answers
# were a sixth slower while writes were applied.
_SWITCH_SECONDS = 0.0005
# SO_LINGER on, for zero seconds: closing sends RST instead of FIN.
_RESET = struct.pack("ii", 1, 0)


class App:
    """Dispatch each request to the API, the control API or the pages."""

    def __init__(self, sandbox: Sandbox, connections: Connections) -> None:
        self._sandbox = sandbox
        self._connections = connections

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
        request.object_faults, request.delay_seconds = hit.objects, hit.delay_seconds
        fault, served = hit.request, None
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
        """Wait until the configured latency has passed since the request came."""
        latency_ms = self._sandbox.settings.latency_ms
        if latency_ms:
            passed_seconds = asyncio.get_running_loop().time() - since_seconds
            await asyncio.sleep(latency_ms / 1000 - passed_seconds)

    async def _end(self, fault: Fault, scope: Scope, receive: Receive) -> None:
        if fault.kind == "timeout":
            await _hold(receive, fault.held_seconds)
        self._connections.close(scope, reset=fault.kind == "reset")
        # uvicorn logs an error for an incomplete response unless it has noticed the disconnect.
        await receive()

    def _record(self, name: str, request: Request, outcome: str) -> None:
        self._sandbox.meter.count_request(name, outcome, request.objects, request.received_bytes)
        self._sandbox.log.add(request.method, request.path, outcome, request.objects, request.received_bytes)

    def _health(self) -> Response:
        running = self._sandbox.writer.running
        return message(200, "ok") if running else message(503, "the writer has stopped")

    def _refusal(self, request: Request) -> Response | None:
        """Refuse requests without a key from other machines and from other web sites in a local browser."""
        if self._sandbox.settings.open_to_all:
            return None
        host = request.headers.get(b"host", b"").decode("latin-1")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        origin = request.headers.get(b"origin", b"").decode("latin-1")
        local = request.client is not None and request.client[0] in _LOOPBACK and name in _LOOPBACK_NAMES
        if local and origin in {"", f"http://{host}"}:
            return None
        return message(403, "only from this machine")


def _objects(request: Request) -> list[PlacedObject]:
    try:
        return placed_objects(request.json())
    except BodyError:
        return []


async def _hold(receive: Receive, seconds: float) -> None:
    """Wait until the client disconnects, at most `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await receive()
    except TimeoutError:
        return


def _request_id() -> tuple[bytes, bytes]:
    return b"x-request-id", secrets.token_hex(16).encode()


class Connections:
    """Map each client to its transport, which ASGI does not expose, to close connections on purpose."""

    def __init__(self) -> None:
        self._transports: dict[Any, asyncio.Transport] = {}

    def close(self, scope: Scope, *, reset: bool) -> None:
        """Close the connection of a request: with RST at once, or after pending output is sent."""
        transport = self._transports.get(tuple(scope["client"] or ()))
        if transport is None:
            return
        if reset:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        else:
            transport.close()

    def protocol(self) -> type[asyncio.Protocol]:
        """Return uvicorn's HTTP protocol, extended to record its transport."""
        transports = self._transports

        class TrackedProtocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]  # chosen at run time
            def connection_made(self, transport: asyncio.Transport) -> None:
                self.client_address = tuple((transport.get_extra_info("peername") or ())[:2])
                transports[self.client_address] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self.client_address, None)
                super().connection_lost(exc)

        return TrackedProtocol


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"braze_local is ready at http://{shown}:{port}", flush=True)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then flush everything to disk and return.

    Raises DataDirectoryInUseError when another server holds the data directory.
    """
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    sandbox = Sandbox(settings)
    connections = Connections()
    config = uvicorn.Config(
        App(sandbox, connections),
        host=settings.host,
        port=settings.port,
        http=connections.protocol(),
        lifespan="off",
        ws="none",
        access_log=False,
        log_level="error",
        server_header=False,
        timeout_graceful_shutdown=STOP_GRACE_SECONDS,
    )
    # uvicorn raises the signal again once it has stopped; the default handler would end the process with it.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda _signal, _frame: None)
    try:
        _Server(config).run()
    finally:
        sandbox.close()
