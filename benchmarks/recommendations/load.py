"""Ask the service: ``python -m benchmarks.recommendations.load --port N …`` prints one JSON line.

With ``--rate``, requests are due at fixed times and a latency counts from then on, so that a server that stands still
is charged for all who would have come meanwhile. Without it each connection asks again as soon as it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections import Counter, deque
from typing import Any

import uvloop

from benchmarks.recommendations.publish import user_id

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_MARK = re.compile(rb'"name":"(\w+) ')


class Load:
    """Figures, and the requests that wait for a connection."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.statuses: Counter[int] = Counter()
        self.marks: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.idle: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.lost = self.bytes = 0
        self.is_over = False

    def request(self) -> bytes:
        user = user_id(random.randrange(self.options.users))
        return (
            f"GET {self.options.path}{user} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self.options.key}\r\n\r\n"
        ).encode()

    def answered(self, status: int, body: bytes, seconds: float) -> None:
        self.statuses[status] += 1
        self.seconds.append(seconds)
        self.bytes += len(body)
        if self.options.marks:
            self.marks["".join(sorted({mark.decode() for mark in _MARK.findall(body)}))] += 1


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, load: Load) -> None:
        self.load, self.buffer, self.since, self.need = load, b"", 0.0, -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.next()

    def next(self) -> None:
        if self.load.is_over:
            return
        if not self.load.options.rate:
            self.ask(time.perf_counter())
        elif self.load.due:
            self.ask(self.load.due.popleft())
        else:
            self.load.idle.append(self)

    def ask(self, due: float) -> None:
        self.since = due
        self.transport.write(self.load.request())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.need < 0 and (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.buffer, 0, end)
            self.need = end + 4 + (int(length[1]) if length else 0)
            self.head = end + 4
        if 0 <= self.need <= len(self.buffer):
            self.load.answered(
                int(self.buffer[9:12]), self.buffer[self.head :], time.perf_counter() - self.since
            )
            self.buffer, self.need = b"", -1
            self.next()

    def connection_lost(self, error: Exception | None) -> None:
        self.load.lost += not self.load.is_over


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Ask for the given time."""
    load, loop = Load(options), asyncio.get_running_loop()
    for _ in range(options.connections):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", options.port)

    def stay_awake() -> None:
        if not load.is_over:
            loop.call_soon(stay_awake)

    if not options.rate:
        # Waking a sleeping client costs the server up to 15 us a send, which a server that keeps it busy is spared.
        stay_awake()
    started = time.perf_counter()
    asked = 0
    ended = asyncio.Event()
    if not options.seconds:
        loop.add_reader(sys.stdin, ended.set)
    while not ended.is_set() and (
        (now := time.perf_counter()) - started < options.seconds or not options.seconds
    ):
        while options.rate and (due := started + asked / options.rate) <= now:
            asked += 1
            if load.idle:
                load.idle.popleft().ask(due)
            else:
                load.due.append(due)
        await asyncio.sleep(0.0005 if options.rate else 0.05)
    spent = time.perf_counter() - started
    done = len(load.seconds)
    load.is_over = True
    load.seconds.sort()
    # Asked and never answered counts too; the last moment's requests are under way.
    return {
        "requests": done, "per_second": done / spent, "statuses": dict(load.statuses), "marks": dict(load.marks),
        "lost_connections": load.lost, "behind": len(load.due), "bytes": load.bytes / max(done, 1),
        **{f"p{p}_ms": 1000 * load.seconds[min(done - 1, int(done * p / 100))] for p in (50, 95, 99, 99.9)},
        "max_ms": 1000 * load.seconds[-1],
    }  # fmt: skip


def main() -> None:
    """Read the options, ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/recommendations?limit=12&user_id=")
    parser.add_argument("--key", default="")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=10, help="0: until standard input closes")
    parser.add_argument("--marks", action="store_true")
    print(json.dumps(uvloop.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
