"""Run the application under uvicorn until a signal asks it to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import struct
import sys
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from braze_local.app import App
from braze_local.sandbox import Sandbox
from braze_local.settings import Settings
from braze_local.wire import Scope

# How long requests in flight may hold up a stop; only a scripted timeout lasts that long.
STOP_GRACE_SECONDS = 1
# Parsed requests are many objects that die young: Python's own thresholds spend a fifth of the time on them.
_GC_THRESHOLDS = (100_000, 50, 50)
# How long the writer may keep the interpreter while an answer waits; with 5 ms, Python's own,
# answers came a sixth slower while writes were being applied.
_SWITCH_SECONDS = 0.0005
# SO_LINGER on, for zero seconds: closing sends RST instead of FIN.
_RESET = struct.pack("ii", 1, 0)


class Connections:
    """Know the transport of every client, which ASGI does not tell, so that one can be cut."""

    def __init__(self) -> None:
        self._transports: dict[Any, asyncio.Transport] = {}

    def cut(self, scope: Scope, *, reset: bool) -> None:
        """End the connection a request came on: with RST at once, or after what was sent has gone out."""
        transport = self._transports.get(tuple(scope["client"] or ()))
        if transport is None:
            return
        if reset:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        else:
            transport.close()

    def protocol(self) -> type[asyncio.Protocol]:
        """Return uvicorn's HTTP protocol, extended to note its transport."""
        transports = self._transports

        class NotedProtocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]  # chosen at run time
            def connection_made(self, transport: asyncio.Transport) -> None:
                self.noted = tuple((transport.get_extra_info("peername") or ())[:2])
                transports[self.noted] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self.noted, None)
                super().connection_lost(exc)

        return NotedProtocol


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"braze_local is ready at http://{shown}:{port}", flush=True)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then put everything on disk and return.

    Raises DataDirectoryInUseError when another server holds the data directory.
    """
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    sandbox = Sandbox(settings)
    connections = Connections()
    config = uvicorn.Config(
        App(sandbox, connections.cut),
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
    # uvicorn raises the signal again once it has stopped; by then it has done its work.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _already_handled)
    try:
        _Server(config).run()
    finally:
        sandbox.close()


def _already_handled(_signal: int, _frame: FrameType | None) -> None:
    return
