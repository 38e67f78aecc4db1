"""Answer ``/users/track`` as Braze does, with as little work per request as Python allows.

``python -m benchmarks.sink --certificate FILE --key FILE`` prints one JSON line with its two ports and serves
until its standard input closes. ``POST /__settings`` sets what the next run meets and forgets the last one;
``GET /__stats`` and ``GET /__users`` say what arrived. Both read the kept bodies only when asked.

It is a measuring instrument, not a sandbox: it checks neither keys nor limits on content.
``local/braze_local`` is the sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
import sys
from typing import Any

from benchmarks.sink_rules import Answer, Rules

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)


class Sink:
    """Hold the rules of the present run."""

    def __init__(self) -> None:
        """Begin without delay, limit and faults."""
        self.rules = Rules()


class Connection(asyncio.Protocol):
    """Read requests with a Content-Length off one connection, one at a time."""

    def __init__(self, sink: Sink, loop: asyncio.AbstractEventLoop) -> None:
        """Share `sink` with all other connections."""
        self._sink = sink
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._needed = 0
        self._head_length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        self._transport = transport  # type: ignore[assignment]  # asyncio's own base class lacks write()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let late answers of a closed connection fall."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Collect one request, then answer it."""
        self._received += data
        if not self._needed and not self._read_head():
            return
        if len(self._received) < self._needed:
            return
        request, head_length = bytes(self._received[: self._needed]), self._head_length
        del self._received[: self._needed]
        self._needed = 0
        self._answer(request, head_length)

    def _read_head(self) -> bool:
        end = self._received.find(_HEAD_END)
        if end < 0:
            return False
        head = bytes(self._received[: end + 2])
        if _CHUNKED.search(head):
            self._send(Answer(411, b'{"message":"the sink reads Content-Length only"}').rendered())
            return False
        length = _LENGTH.search(head)
        self._head_length = end + len(_HEAD_END)
        self._needed = self._head_length + (int(length.group(1)) if length else 0)
        return True

    def _answer(self, request: bytes, head_length: int) -> None:
        method, path, _ = request[: request.index(b"\r\n")].split(b" ", 2)
        if path.startswith(b"/__"):
            self._send(control(self._sink, path, request[head_length:]).rendered())
            return
        rules = self._sink.rules
        answer = rules.answer(method, path, request[head_length:])
        if rules.delay_seconds:
            self._loop.call_later(rules.delay_seconds, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


def control(sink: Sink, path: bytes, body: bytes) -> Answer:
    """Set the rules or say what has arrived."""
    if path == b"/__settings":
        sink.rules = Rules.of(json.loads(body))
        return Answer(200, b"{}")
    if path == b"/__stats":
        return Answer(200, json.dumps(sink.rules.stats()).encode())
    if path == b"/__users":
        return Answer(200, json.dumps(sink.rules.accepted_values()).encode())
    return Answer(404, b"{}")


async def serve(certificate: str | None, key: str | None) -> None:
    """Serve plain HTTP and, with a certificate, TLS on free ports until standard input closes."""
    loop = asyncio.get_running_loop()
    sink = Sink()
    plain = await loop.create_server(lambda: Connection(sink, loop), "127.0.0.1", 0, backlog=1_024)
    ports = {"http": plain.sockets[0].getsockname()[1]}
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        tls = await loop.create_server(
            lambda: Connection(sink, loop), "127.0.0.1", 0, ssl=context, backlog=1_024
        )
        ports["https"] = tls.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Run the sink, on uvloop where it is installed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    arguments: Any = parser.parse_args()
    runner = asyncio.run
    try:
        import uvloop
    except ImportError:
        pass
    else:
        runner = uvloop.run
    runner(serve(arguments.certificate, arguments.key))


if __name__ == "__main__":
    main()
