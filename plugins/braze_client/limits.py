"""Wait before a call until Braze's limits allow it; one limiter per endpoint family, shared by all processes.

https://www.braze.com/docs/api/api_limits/
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from pathlib import Path

from braze_client.pace import Pace
from braze_client.rate_plan import BULK_REQUESTS_PER_SECOND, RatePlan
from braze_client.shared_pace import SharedPace
from braze_client.window import Burst

log = logging.getLogger(__name__)

# Slots that nobody used for so long are given up. While they are used in time, more are taken at once.
CREDIT_SECONDS = 0.05
MOST_CREDITS = 8
# Answers are taken to the shared file together, this often at most; refusals at once.
LEARN_EVERY_SECONDS = 0.005
# Waiting longer than this is said in the log, once per wait.
LONG_WAIT_SECONDS = 10.0


class Family(Enum):
    """The endpoints that share one limit."""

    TRACK = "users/track"
    TRACK_BULK = "users/track/bulk"
    EXPORT = "users/export"
    DELETE = "users/delete"
    CATALOG_ITEMS = "catalogs items, asynchronous"
    CATALOG_READS = "catalogs items, synchronous"
    CATALOGS = "catalogs"


# What is never exceeded, whatever the headers say, and what is tried where they say nothing.
_BURSTS = {
    Family.TRACK_BULK: Burst(3 * BULK_REQUESTS_PER_SECOND, 3.0),
    # 250 a minute, or 40 a second where fields_to_export is given: the headers tell which.
    Family.EXPORT: Burst(40, 1.0),
    # 20,000 a minute, shared with alias, identify and merge.
    Family.DELETE: Burst(30, 3.0),
    # 16,000 a minute.
    Family.CATALOG_ITEMS: Burst(800, 3.0),
    # 50 a minute each, which the headers tell: few calls, so these may come quickly.
    Family.CATALOG_READS: Burst(30, 3.0),
    Family.CATALOGS: Burst(30, 3.0),
}


def burst_of(family: Family, plan: RatePlan) -> Burst:
    """Say what the short window of a family allows under a rate plan."""
    own = Burst(plan.burst_requests, plan.burst_seconds)
    return min(_BURSTS.get(family, own), own, key=lambda burst: burst.requests / burst.seconds)


class Limiter:
    """Let calls start at the pace that Braze allows.

    Tasks are served in the order they come. Only the first in line looks at the shared file and sleeps, so a
    thousand waiting tasks cost no more than one; and it takes one slot at a time, so that little is under way
    when a refusal closes the family.

    :param pace: what is known of the family.
    :param burst: what the contract allows in a short window.
    :param name: for the log.
    """

    def __init__(
        self,
        pace: SharedPace,
        burst: Burst,
        *,
        name: str,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pace = pace
        self._burst = burst
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._line = asyncio.Lock()
        self._waiting = 0
        self._next_ticket = 0
        self._credits = 0
        self._credits_until = 0.0
        self._most = 1
        self._heard: list[tuple[int, int, Mapping[str, str], float]] = []
        self._heard_since = 0.0
        self._knows = False

    async def acquire(self) -> int:
        """Wait until a call may start; return its ticket."""
        if not self._waiting and self._credits and self._clock() < self._credits_until:
            return self._take()
        self._waiting += 1
        try:
            async with self._line:
                if not self._credits or self._clock() >= self._credits_until:
                    await self._fetch()
                return self._take()
        finally:
            self._waiting -= 1

    def learn(self, ticket: int, status: int, headers: Mapping[str, str]) -> None:
        """Take in the answer to a ticket; header names in lower case."""
        now = self._clock()
        if not self._heard:
            self._heard_since = now
        self._heard.append((ticket, status, headers, now))
        if status == 429:
            self._credits = 0
        if status == 429 or not self._knows or now - self._heard_since >= LEARN_EVERY_SECONDS:
            with self._pace.locked() as pace:
                self._tell(pace)

    def _tell(self, pace: Pace) -> None:
        for ticket, status, headers, at in self._heard:
            pace.learn(ticket, status, headers, at, self._burst)
        self._heard.clear()

    def lost(self) -> None:
        """Note that a call got no answer."""
        with self._pace.locked() as pace:
            self._tell(pace)
            pace.lost()

    def close(self) -> None:
        """Close the shared file."""
        with self._pace.locked() as pace:
            self._tell(pace)
        self._pace.close()

    def _take(self) -> int:
        self._credits -= 1
        self._next_ticket += 1
        return self._next_ticket - 1

    async def _fetch(self) -> None:
        since, said = self._clock(), False
        used_up = not self._credits and since < self._credits_until
        self._most = min(2 * self._most, MOST_CREDITS) if used_up else 1
        while True:
            now = self._clock()
            with self._pace.locked() as pace:
                self._tell(pace)
                grant = pace.reserve(now, max(self._most, self._waiting), self._burst)
                self._knows = not pace.must_probe
            if not said and now - since > LONG_WAIT_SECONDS:
                said = True
                log.info("Braze: %s waits until its rate limit allows more calls", self._name)
            if grant.at > now:
                await self._sleep(grant.at - now)
                if grant.calls:
                    await self._wait_out_a_refusal()
            if grant.calls:
                break
        self._next_ticket, self._credits = grant.first, grant.calls
        self._credits_until = self._clock() + CREDIT_SECONDS

    async def _wait_out_a_refusal(self) -> None:
        while True:
            now = self._clock()
            with self._pace.locked() as pace:
                closed_seconds = pace.closed_seconds(now)
            if closed_seconds <= 0:
                return
            await self._sleep(closed_seconds)


class Limiters:
    """Open the limiters of one workspace as they are needed.

    :param identity: host and API key.
    :param folder: of the shared files, see :class:`SharedPace`.
    """

    def __init__(
        self,
        identity: str,
        plan: RatePlan,
        *,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._identity = identity
        self._plan = plan
        self._folder = folder
        self._clock = clock
        self._sleep = sleep
        self._open: dict[Family, Limiter] = {}

    def of(self, family: Family) -> Limiter:
        """Return the limiter of a family."""
        if family not in self._open:
            pace = SharedPace(f"{self._identity} {family.value}", self._folder)
            self._open[family] = Limiter(
                pace, burst_of(family, self._plan), name=family.value, clock=self._clock, sleep=self._sleep
            )
        return self._open[family]

    def close(self) -> None:
        """Close the shared files."""
        while self._open:
            self._open.popitem()[1].close()
