"""The floor: prepared requests, written as they lie in memory to raw sockets of an event loop.

It reads no more of an answer than its status and its length. On uvloop where that is installed.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from benchmarks.job import DeliveryJob

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class _Sender(asyncio.Protocol):
    def __init__(self, job: DeliveryJob, work: Iterator[tuple[int, bytes]]) -> None:
        self._job, self._work = job, work
        self._received = b""
        self._number = -1
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # asyncio's base lacks write()
        self._send_next()

    def _send_next(self) -> None:
        self._number, request = next(self._work, (-1, b""))
        if self._number < 0:
            self._transport.close()
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = _LENGTH.search(self._received)
        if length and len(self._received) < head_end + 4 + int(length.group(1)):
            return
        if self._received.startswith(b"HTTP/1.1 201"):
            self._job.claim_call(self._number)
        else:
            self._job.fail("status")
        self._received = b""
        self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def deliver(job: DeliveryJob) -> None:
    """Post every body."""
    host = urlsplit(job.url).netloc
    requests = [
        (
            f"POST /users/track HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer benchmark\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        + body
        for body in job.bodies()
    ]
    try:
        import uvloop
    except ImportError:
        asyncio.run(_deliver(job, requests))
    else:
        uvloop.run(_deliver(job, requests))


async def _deliver(job: DeliveryJob, requests: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    address = urlsplit(job.url)
    assert address.hostname is not None
    assert address.port is not None
    host, port = address.hostname, address.port
    tls = ssl.create_default_context(cafile=job.certificate) if address.scheme == "https" else None
    with job.clock():
        work = job.work(requests)
        opened = await asyncio.gather(
            *(
                loop.create_connection(lambda: _Sender(job, work), host, port, ssl=tls)
                for _ in range(job.connections)
            )
        )
        await asyncio.gather(*(sender.done for _, sender in opened))
