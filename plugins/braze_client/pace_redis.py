"""Share the pace of an endpoint family between the processes of all machines, through Redis.

Redis holds the same numbers as the file of a machine (:mod:`braze_client.pace_file`). A process computes the next
numbers and writes them by compare and swap, in a script that Redis runs atomically. If another process wrote first, it
recomputes from the newer numbers. All processes use Redis's clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from braze_client.pace import Burst, Pace
from braze_client.pace_file import Change, FilePace, T, new_state, packed, unpacked

log = logging.getLogger(__name__)

# Timeouts of a round trip: of the first try, of the second try on a new connection (the first one may have been closed,
# or the event loop was busy), and of the first round trip of a process.
ANSWER_SECONDS = 0.1
SECOND_TRY_SECONDS = 0.5
CONNECT_SECONDS = 1.0
# Reconnect in the background after this time, doubled each time; no call waits for it.
RECONNECT_SECONDS = 1.0
MOST_RECONNECT_SECONDS = 30.0
# Longer than the longest wait that Braze can ask for.
KEEP_SECONDS = 7_200
# Machines that called within this time divide the rate when Redis is lost; recorded once a second.
CALLERS_SECONDS = 10
NOTE_CALLER_SECONDS = 1.0
# A slot costs one or two round trips, so it is longer than a file's; longer still where round trips are slow.
SLOT_SECONDS = 0.01
MOST_SLOT_SECONDS = 0.25

# KEYS: state, callers. ARGV: the state as last seen, the new one, seconds to keep it, who calls ("" unless due),
# seconds for which a caller counts.
_SWAP = """
local time = redis.call('TIME')
local held = redis.call('GET', KEYS[1]) or ''
if ARGV[4] ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', time[1] - ARGV[5])
  redis.call('ZADD', KEYS[2], time[1], ARGV[4])
  redis.call('EXPIRE', KEYS[2], ARGV[3])
end
local callers = redis.call('ZCARD', KEYS[2])
if held ~= ARGV[1] then return {time[1], time[2], callers, held} end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return {time[1], time[2], callers}
"""
# Swap nothing for nothing under a separate key: checks the connection and reads Redis's time.
_PING = ("recsync:look", b"", b"", "")


class RedisUnavailableError(Exception):
    """Redis did not answer in time, or answered with an error."""


class RedisLink:
    """Reach Redis for all endpoint families of a client.

    :param url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, as redis-py reads it.
    :param clock: of this machine; Redis's is ahead of it by ``ahead_seconds``.
    """

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.is_up = True
        self._warned = self._answered = False
        self._up_since, self._reconnect_seconds = 0.0, RECONNECT_SECONDS
        # Learned in the quickest round trips.
        self.ahead_seconds = 0.0
        self._quickest_seconds = float("inf")
        self.usual_seconds = 0.0
        self._search: asyncio.Task[None] | None = None
        self._redis: Any = None
        # Takes a quarter of a second.
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        self._errors = (RedisError, OSError)
        try:
            redis: Any = Redis.from_url(url, retry=Retry(NoBackoff(), 0), protocol=2)
            redis.connection_pool.make_connection()  # checks the URL's parameters
        except (RedisError, TypeError, ValueError) as error:
            # Not the text: it may quote the URL with its password.
            self.is_up = False
            self._log_outage(f"{type(error).__name__}: its URL cannot be used")
        else:
            self._redis = redis
            self._script: Callable[..., Awaitable[list[Any]]] = redis.register_script(_SWAP)

    def now(self) -> float:
        """Return Redis's time, as far as it is known."""
        return self._clock() + self.ahead_seconds

    async def swap(self, key: str, held: bytes, new: bytes, caller: str) -> tuple[bytes | None, int]:
        """Write new numbers if these are still held.

        :param caller: machine to record as calling; empty: record none.
        :returns: None, or the numbers that another process wrote; and the number of calling machines.
        :raises RedisUnavailableError: when Redis cannot be used; reconnecting begins.
        """
        seconds = [ANSWER_SECONDS, SECOND_TRY_SECONDS] if self._answered else [CONNECT_SECONDS]
        for most_seconds in seconds:
            try:
                return await self._swap(key, held, new, caller, most_seconds)
            except TimeoutError:
                why = "it does not answer in time"
            except self._errors as error:
                why = f"{type(error).__name__}: {error}"
        self._mark_down(why)
        raise RedisUnavailableError(why)

    async def learn_time(self) -> None:
        """Ask Redis for its time before the first use of it.

        :raises RedisUnavailableError: when Redis cannot be used; reconnecting begins.
        """
        if self._quickest_seconds == float("inf"):
            await self.swap(*_PING)

    async def _swap(
        self, key: str, held: bytes, new: bytes, caller: str, most_seconds: float
    ) -> tuple[bytes | None, int]:
        began = self._clock()
        async with asyncio.timeout(most_seconds):
            answer = await self._script(
                keys=[key, f"{key}:callers"], args=[held, new, KEEP_SECONDS, caller, CALLERS_SECONDS]
            )
        seconds, micros, callers, *other = answer
        self._learn_time(began, self._clock(), int(seconds) + int(micros) / 1e6)
        self._answered = True
        return (other[0] if other else None), int(callers)

    def _learn_time(self, began: float, ended: float, theirs: float) -> None:
        took, ahead = ended - began, theirs - (began + ended) / 2
        # The error is half the round trip at most. A larger difference is a clock that was set.
        if took <= self._quickest_seconds or abs(ahead - self.ahead_seconds) > took:
            self.ahead_seconds, self._quickest_seconds = ahead, took
        else:
            self._quickest_seconds *= 1.05
        self.usual_seconds += 0.1 * (took - self.usual_seconds)

    def _mark_down(self, why: str) -> None:
        self._answered = False
        if self.is_up:
            self.is_up = False
            self._log_outage(why)
            if self._clock() - self._up_since > MOST_RECONNECT_SECONDS:
                self._reconnect_seconds = RECONNECT_SECONDS
            self._search = asyncio.create_task(self._reconnect())

    def _log_outage(self, why: str) -> None:
        log.log(
            logging.INFO if self._warned else logging.WARNING,
            "The pace towards Braze is not shared through Redis (%s). Deliveries go on: processes of a machine share a "
            "file, and machines follow Braze's headers, until Redis can be used. Check Redis and its URL.",
            why,
        )
        self._warned = True

    async def _reconnect(self) -> None:
        while True:
            await asyncio.sleep(self._reconnect_seconds)
            self._reconnect_seconds = min(2 * self._reconnect_seconds, MOST_RECONNECT_SECONDS)
            with suppress(*self._errors):
                await self._swap(*_PING, CONNECT_SECONDS)
                await self._swap(*_PING, ANSWER_SECONDS)
                break
        self.is_up, self._up_since = True, self._clock()
        log.info("The pace towards Braze is shared through Redis again")

    async def close(self) -> None:
        """Close the connections."""
        if self._search is not None:
            self._search.cancel()
        if self._redis is not None:
            with suppress(*self._errors):
                await self._redis.aclose()


class RedisPace:
    """Share the pace of one endpoint family through Redis, and through the file while Redis is away.

    :param name: of the state, see :func:`braze_client.pace_file.name_of`.
    :param burst: what the contract allows in a short window.
    """

    learn_every_seconds = 0.1
    fresh_seconds = 0.05

    def __init__(self, link: RedisLink, name: str, file: FilePace, burst: Burst) -> None:
        self._link = link
        # In a cluster the keys of one state are on one node: the part in braces decides.
        self._key = f"recsync:{{{name}}}"
        self._file = file
        self._burst = burst
        self._machine = file.machine
        self._noted_at = 0.0
        self._callers = 1
        # The last value read from Redis, as bytes (empty: none) and as a state.
        self._held = b""
        self._pace: Pace | None = None
        self._in_file = False
        self._line = asyncio.Lock()
        self._posted: asyncio.Task[None] | None = None
        self._is_due = False

    @property
    def slot_seconds(self) -> float:
        """Length of a slot: calls within it start together."""
        return min(max(SLOT_SECONDS, 4 * self._link.usual_seconds), MOST_SLOT_SECONDS)

    def now(self) -> float:
        """Return the time of the state's clock."""
        return self._file.now() if self._in_file else self._link.now()

    async def change(self, change: Change[T]) -> T:
        """Change the newest state."""
        async with self._line:
            if self._link.is_up:
                with suppress(RedisUnavailableError):
                    return await self._change_in_redis(change)
            await self._fall_back_to_file()
            return await self._file.change(change)

    async def _change_in_redis(self, change: Change[T]) -> T:
        await self._link.learn_time()
        closed_until = await self._file.change(lambda pace, _: pace.closed_until) if self._in_file else 0.0
        while True:
            pace = unpacked(self._held) or (replace(self._pace) if self._pace else new_state())
            now = self._link.now()
            if closed_until:
                pace.closed_until = max(pace.closed_until, closed_until + self._link.ahead_seconds)
            result = change(pace, now)
            new, due = packed(pace), now >= self._noted_at + NOTE_CALLER_SECONDS
            other, self._callers = await self._link.swap(
                self._key, self._held, new, self._machine if due else ""
            )
            self._noted_at = now if due else self._noted_at
            if other is None:
                self._held, self._pace, self._in_file = new, pace, False
                return result
            self._held = other

    async def _fall_back_to_file(self) -> None:
        if self._in_file:
            return
        self._in_file = True
        known = self._pace
        if known is None:
            return

        def adopt(pace: Pace, now: float) -> None:
            if known.answered_at - self._link.ahead_seconds > pace.answered_at:
                pace.adopt(known, -self._link.ahead_seconds)
                pace.divide(self._callers, now, self._burst)

        await self._file.change(adopt)

    def post(self, take: Callable[[], Change[None]]) -> None:
        """Change the state without waiting; ``take`` gives the change when its turn has come."""
        self._is_due = True
        if self._posted is None or self._posted.done():
            self._posted = asyncio.create_task(self._post(take))

    async def _post(self, take: Callable[[], Change[None]]) -> None:
        while self._is_due:
            self._is_due = False
            await self.change(take())

    async def close(self) -> None:
        """Wait for posted changes and close the file."""
        if self._posted is not None:
            await asyncio.wait([self._posted])
        await self._file.close()
