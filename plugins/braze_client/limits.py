"""Wait before each call to Braze until its limits allow it: one limiter per endpoint family, its pace shared."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from braze_client.pace import Burst, Grant, Pace
from braze_client.pace_file import Change, FilePace, T, name_of
from braze_client.pace_redis import RedisLink, RedisPace
from braze_client.rate_plan import Family, RatePlan, burst_of

log = logging.getLogger(__name__)

# Unused slots expire after this time. Callers that use theirs in time get more at once.
CREDIT_SECONDS = 0.05
MOST_CREDITS = 8
# Waiting longer than this is said in the log, once per wait.
LONG_WAIT_SECONDS = 10.0


class SharedPace(Protocol):
    """The pace of an endpoint family, shared with other processes."""

    @property
    def slot_seconds(self) -> float:
        """Length of a slot: calls within it start together."""

    @property
    def learn_every_seconds(self) -> float:
        """Shortest time between two updates with answers; refusals and lost calls are reported immediately."""

    @property
    def fresh_seconds(self) -> float:
        """Maximum age of the last read of the state when a call starts."""

    def now(self) -> float:
        """Return the time of the state's clock."""

    async def change(self, change: Change[T]) -> T:
        """Change the newest state; the change may be tried on several."""

    def post(self, take: Callable[[], Change[None]]) -> None:
        """Change the state without waiting; ``take`` gives the change when its turn has come."""

    async def close(self) -> None:
        """Wait for posted changes. The state remains for other processes."""


class Ticket(NamedTuple):
    """Number a call among those of one state."""

    series: float
    number: int


class _Answer(NamedTuple):
    """Braze's answer to one call; status 0 for a call without an answer.

    :param at: when it arrived, by the state's clock.
    """

    ticket: Ticket
    status: int
    headers: Mapping[str, str]
    at: float


class Limiter:
    """Let calls start at the pace that Braze allows.

    Tasks are served in the order they come. Only the first in line looks at the shared file and sleeps, so a
    thousand waiting tasks cost no more than one; and it takes one slot at a time, so that little is under way
    when a refusal closes the family.

    :param pace: the shared state of the endpoint family.
    :param burst: what the contract allows in a short window.
    :param name: for the log.
    """

    def __init__(
        self,
        pace: SharedPace,
        burst: Burst,
        *,
        name: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pace = pace
        self._burst = burst
        self._name = name
        self._sleep = sleep
        self._line = asyncio.Lock()
        self._waiting = 0
        self._series = 0.0
        self._next_number = 0
        self._credits = 0
        self._credits_until = 0.0
        self._most = 1
        self._answers: list[_Answer] = []
        self._is_limit_known = False

    async def acquire(self) -> Ticket:
        """Wait until a call may start; return its ticket."""
        if not self._waiting and self._credits and self._pace.now() < self._credits_until:
            return self._take()
        self._waiting += 1
        try:
            async with self._line:
                if not self._credits or self._pace.now() >= self._credits_until:
                    await self._fetch()
                return self._take()
        finally:
            self._waiting -= 1

    def learn(self, ticket: Ticket, status: int, headers: Mapping[str, str]) -> None:
        """Take in the answer to a ticket; header names in lower case."""
        now = self._pace.now()
        self._answers.append(_Answer(ticket, status, headers, now))
        if status == 429:
            self._credits = 0
        is_urgent = status in (429, 0) or not self._is_limit_known
        if is_urgent or now - self._answers[0].at >= self._pace.learn_every_seconds:
            self._pace.post(self._pending_answers)

    def lost(self, ticket: Ticket) -> None:
        """Note that a call got no answer."""
        self.learn(ticket, 0, {})

    async def close(self) -> None:
        """Report the last answers and close the shared pace."""
        await self._pace.change(self._pending_answers())
        await self._pace.close()

    def _pending_answers(self) -> Change[None]:
        """Return a change that applies the answers since the last report, and clear them."""
        answers, self._answers = self._answers, []

        def report(pace: Pace, _: float) -> None:
            for ticket, status, headers, at in answers:
                if not status:
                    pace.lost()
                elif ticket.series == pace.series:
                    pace.learn(ticket.number, status, headers, at, self._burst)
                else:
                    # A ticket from before Redis was lost or found: its "remaining" says nothing about this series.
                    hints = {name: text for name, text in headers.items() if "retry-after" in name}
                    pace.learn(int(pace.issued), status, hints, at, self._burst)

        return report

    def _take(self) -> Ticket:
        self._credits -= 1
        self._next_number += 1
        return Ticket(self._series, self._next_number - 1)

    async def _fetch(self) -> None:
        since, said = self._pace.now(), False
        used_up = not self._credits and since < self._credits_until
        self._most = min(2 * self._most, MOST_CREDITS) if used_up else 1
        while True:
            report, most = self._pending_answers(), max(self._most, self._waiting)

            def reserve(
                pace: Pace, now: float, report: Change[None] = report, most: int = most
            ) -> tuple[Grant, float, bool]:
                report(pace, now)
                grant = pace.reserve(now, most, self._burst, self._pace.slot_seconds)
                return grant, pace.series, bool(pace.known_since)

            grant, series, self._is_limit_known = await self._pace.change(reserve)
            now = self._pace.now()
            if not said and now - since > LONG_WAIT_SECONDS:
                said = True
                log.info("Braze: %s waits until its rate limit allows more calls", self._name)
            if grant.at > now:
                await self._sleep(grant.at - now)
                if grant.calls and grant.at - now > self._pace.fresh_seconds:
                    await self._wait_out_a_refusal()
            if grant.calls:
                break
        self._series, self._next_number, self._credits = series, grant.first, grant.calls
        self._credits_until = self._pace.now() + CREDIT_SECONDS

    async def _wait_out_a_refusal(self) -> None:
        while (closed_seconds := await self._pace.change(Pace.closed_seconds)) > 0:
            await self._sleep(closed_seconds)


class Limiters:
    """Open the limiters of one workspace as they are needed.

    :param identity: host and API key.
    :param folder: of the files that share the pace on this machine, see :class:`FilePace`.
    :param redis_url: of the Redis that shares it between machines; None: none does.
    """

    def __init__(
        self,
        identity: str,
        plan: RatePlan,
        *,
        folder: Path | None = None,
        redis_url: str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._identity = identity
        self._plan = plan
        self._folder = folder
        self._link = RedisLink(redis_url, clock) if redis_url else None
        self._clock = clock
        self._sleep = sleep
        self._open: dict[Family, Limiter] = {}

    def of(self, family: Family) -> Limiter:
        """Return the limiter of a family."""
        if family not in self._open:
            identity, burst = f"{self._identity} {family.value}", burst_of(family, self._plan)
            file = FilePace(identity, self._folder, self._clock)
            pace = RedisPace(self._link, name_of(identity), file, burst) if self._link else file
            self._open[family] = Limiter(pace, burst, name=family.value, sleep=self._sleep)
        return self._open[family]

    async def close(self) -> None:
        """Report the last answers and close files and connections."""
        while self._open:
            await self._open.popitem()[1].close()
        if self._link is not None:
            await self._link.close()
