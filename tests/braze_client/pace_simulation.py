"""Clients that keep a pace against a server that limits them, in simulated time."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from braze_client.pace import SLOT_SECONDS, Burst, Pace

DEFAULT_BURST = Burst(3_000, 3)
START = 1_800_000_000.37


@dataclass
class Server:
    """Allow ``limit`` calls in ``seconds``: kind ``fixed``, ``sliding`` or ``bucket``.

    :param dialect: ``epoch`` or ``left`` (seconds left) for Reset, ``none`` for no headers at all.
    """

    kind: str
    limit: int
    seconds: float
    dialect: str = "epoch"
    taken: deque[float] = field(default_factory=deque)
    index: int = -1
    used: int = 0
    tokens: float = math.inf
    filled_at: float = 0.0

    def answer(self, now: float) -> tuple[int, dict[str, str]]:
        allowed, remaining, reset_at = getattr(self, f"_{self.kind}")(now)
        if self.dialect == "none":
            return (201 if allowed else 429), {}
        reset = math.ceil(reset_at) if self.dialect == "epoch" else max(0, math.ceil(reset_at - now))
        headers = {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(int(remaining)),
            "x-ratelimit-reset": str(reset),
        }
        if not allowed and self.dialect == "left":
            headers = {"x-ratelimit-retry-after": str(max(1, reset))}
        return (201 if allowed else 429), headers

    def _fixed(self, now: float) -> tuple[bool, float, float]:
        index = int(now // self.seconds)
        if index != self.index:
            self.index, self.used = index, 0
        allowed = self.used < self.limit
        self.used += allowed
        return allowed, self.limit - self.used, (index + 1) * self.seconds

    def _sliding(self, now: float) -> tuple[bool, float, float]:
        while self.taken and self.taken[0] <= now - self.seconds:
            self.taken.popleft()
        allowed = len(self.taken) < self.limit
        if allowed:
            self.taken.append(now)
        return allowed, self.limit - len(self.taken), self.taken[0] + self.seconds

    def _bucket(self, now: float) -> tuple[bool, float, float]:
        rate = self.limit / self.seconds
        self.tokens = min(self.limit, self.tokens + (now - self.filled_at) * rate)
        self.filled_at = now
        allowed = self.tokens >= 1
        self.tokens -= allowed
        return allowed, self.tokens, now + (self.limit - self.tokens) / rate


@dataclass
class Outcome:
    """What happened: calls accepted and refused, and when the last one was accepted."""

    accepted: int = 0
    refused: int = 0
    refused_after_start: int = 0
    seconds: float = 0.0
    per_machine: list[int] = field(default_factory=list)
    per_process: list[int] = field(default_factory=list)
    canary_seconds: float = 0.0


def run(
    server: Server,
    *,
    calls: int,
    machines: int = 1,
    processes: int = 1,
    burst: Burst = DEFAULT_BURST,
    latency_seconds: tuple[float, float] = (0.0, 0.1),
    connections: int = 128,
    seed: int = 0,
    slot_seconds: float = SLOT_SECONDS,
    canary_calls: int = 0,
) -> Outcome:
    """Push ``calls`` calls, refused ones again, from processes that share a pace per machine.

    :param latency_seconds: least and most of one way to the server.
    :param canary_calls: another process of the first machine makes so many when ten seconds are over, one after
        the other.
    """
    rng = random.Random(seed)
    events: list[tuple[float, int, Callable[[float], None]]] = []
    order = itertools.count()
    outcome = Outcome(per_machine=[0] * machines, per_process=[0] * (machines * processes))
    left = calls

    def at(moment: float, do: Callable[[float], None]) -> None:
        heapq.heappush(events, (moment, next(order), do))

    class Process:
        def __init__(self, pace: Pace, number: int) -> None:
            self.pace, self.number, self.free, self.asking = pace, number, connections, False
            self.ask(START + rng.random() * 0.01)

        def ask(self, now: float) -> None:
            self.asking = left > 0 and self.free > 0
            if not self.asking:
                return
            grant = self.pace.reserve(now, min(self.free, left), burst, slot_seconds)
            if grant.calls == 0:
                assert grant.at > now, "asks again at once: a busy loop"
                at(grant.at, self.ask)
            else:
                at(grant.at, lambda moment: self.send(moment, grant.first, grant.calls))

        def send(self, now: float, first: int, count: int) -> None:
            nonlocal left
            closed = self.pace.closed_seconds(now)
            if closed > 0:
                at(now + closed, lambda moment: self.send(moment, first, count))
                return
            count = min(count, left)
            left -= count
            self.free -= count
            for ticket in range(first, first + count):
                at(now + rng.uniform(*latency_seconds), lambda moment, t=ticket: self.serve(moment, t))
            self.ask(now)

        def serve(self, now: float, ticket: int) -> None:
            status, headers = server.answer(now)
            at(now + rng.uniform(*latency_seconds), lambda m: self.hear(m, ticket, status, headers))

        def hear(self, now: float, ticket: int, status: int, headers: dict[str, str]) -> None:
            nonlocal left
            self.free += 1
            self.pace.learn(ticket, status, headers, now, burst)
            if status == 201:
                outcome.accepted += 1
                outcome.per_machine[self.number // processes] += 1
                outcome.per_process[self.number] += 1
                outcome.seconds = now - START
            else:
                outcome.refused += 1
                # The start: until three windows have been seen.
                outcome.refused_after_start += now - START > min(3 * server.seconds, 15.0)
                left += 1
            if not self.asking:
                self.ask(now)

    class Canary:
        def __init__(self, pace: Pace) -> None:
            self.pace, self.left = pace, canary_calls
            at(START + 10, self.ask)

        def ask(self, now: float) -> None:
            grant = self.pace.reserve(now, 1, burst, slot_seconds)
            at(grant.at, lambda moment: self.serve(moment, grant.first) if grant.calls else self.ask(moment))

        def serve(self, now: float, ticket: int) -> None:
            status, headers = server.answer(now)
            self.pace.learn(ticket, status, headers, now, burst)
            self.left -= status == 201
            outcome.canary_seconds = now - START - 10
            if self.left:
                self.ask(now)

    paces = [Pace() for _ in range(machines)]
    for number in range(machines * processes):
        Process(paces[number // processes], number)
    if canary_calls:
        Canary(paces[0])
    while events:
        moment, _, do = heapq.heappop(events)
        do(moment)
    return outcome
