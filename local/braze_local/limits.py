"""Limit the requests per endpoint, in either header dialect, in clock-aligned or sliding windows.

https://www.braze.com/docs/api/api_limits
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from braze_local.wire import Header

Dialect = Literal["classic", "mau", "none"]
WindowKind = Literal["fixed", "sliding"]


class Window(NamedTuple):
    """Allow `requests` in every window of `seconds`."""

    requests: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read ``REQUESTS/SECONDS``. Raises ValueError."""
        requests, slash, seconds = text.partition("/")
        window = cls(int(requests), int(seconds if slash else ""))
        if window.requests < 0 or window.seconds < 1:
            raise ValueError(f"not a window: {text}")
        return window


# Braze's documented limits; track-hourly and track-burst depend on the (MAU) contract, so these are examples.
DEFAULT_WINDOWS: Mapping[str, Window] = {
    "track": Window(3_000, 3),
    "track-hourly": Window(1_000_000, 3_600),
    "track-burst": Window(3_000, 3),
    "track-bulk": Window(50, 1),
    "track-sync": Window(500, 60),
    "export": Window(250, 60),
    "export-fields": Window(40, 1),
    "catalogs": Window(50, 60),
    "catalog-items": Window(16_000, 60),
    "catalog-items-sync": Window(50, 60),
    "users": Window(20_000, 60),
}


@dataclass(slots=True)
class _FixedWindow:
    """Count requests in clock-aligned windows, as observed with Braze."""

    window: Window
    used: int = 0
    _index: int = -1

    def refresh(self, now_seconds: float) -> None:
        index = int(now_seconds // self.window.seconds)
        if index != self._index:
            self._index, self.used = index, 0

    def take(self, _now_seconds: float) -> None:
        self.used += 1

    @property
    def end_seconds(self) -> float:
        """Return the epoch time at which the window ends."""
        return (self._index + 1) * self.window.seconds


@dataclass(slots=True)
class _SlidingWindow:
    """Count the requests of the last `window.seconds`."""

    window: Window
    _taken: deque[float] = field(default_factory=deque)
    _now_seconds: float = 0.0

    def refresh(self, now_seconds: float) -> None:
        self._now_seconds = now_seconds
        while self._taken and self._taken[0] <= now_seconds - self.window.seconds:
            self._taken.popleft()

    def take(self, now_seconds: float) -> None:
        self._taken.append(now_seconds)

    @property
    def used(self) -> int:
        return len(self._taken)

    @property
    def end_seconds(self) -> float:
        """Return the epoch time at which the oldest request leaves the window."""
        return (self._taken[0] if self._taken else self._now_seconds) + self.window.seconds


_Counter = _FixedWindow | _SlidingWindow


class Permit(NamedTuple):
    """Hold whether a request is allowed, and the rate-limit headers of its response."""

    allowed: bool
    headers: list[Header]


class Limiter:
    """Count requests per limit; a refused request does not count.

    `classic`: headers on every response, Reset in epoch seconds. `mau`: /users/track has an hourly window and a
    burst window, which the headers do not show; Reset in seconds left; a 429 has only the seconds to wait.
    `none`: no limits, no headers.
    """

    def __init__(
        self,
        dialect: Dialect,
        windows: Mapping[str, Window] = DEFAULT_WINDOWS,
        clock: Callable[[], float] = time.time,
        kind: WindowKind = "fixed",
    ) -> None:
        self._dialect = dialect
        self._clock = clock
        counter = _FixedWindow if kind == "fixed" else _SlidingWindow
        self._counters: dict[str, _Counter] = {family: counter(window) for family, window in windows.items()}

    def take(self, family: str) -> Permit:
        """Count one request of this family."""
        if self._dialect == "none":
            return Permit(True, [])
        now_seconds = self._clock()
        counters = [self._counters[name] for name in self._names(family)]
        for counter in counters:
            counter.refresh(now_seconds)
        full = [counter for counter in counters if counter.used >= counter.window.requests]
        if not full:
            for counter in counters:
                counter.take(now_seconds)
        if self._dialect == "classic":
            return Permit(not full, _headers(counters[0], math.ceil(counters[0].end_seconds)))
        if full:
            wait_seconds = max(counter.end_seconds for counter in full) - now_seconds
            return Permit(False, [(b"x-ratelimit-retry-after", b"%d" % math.ceil(wait_seconds))])
        return Permit(True, _headers(counters[0], math.ceil(counters[0].end_seconds - now_seconds)))

    def _names(self, family: str) -> list[str]:
        if self._dialect == "mau":
            return _MAU_FAMILIES.get(family, [family])
        return [family]


# MAU contracts: a burst limit and an hourly limit together; the headers show the first of these.
_MAU_FAMILIES = {
    "track": ["track-hourly", "track-burst"],
    "track-bulk": ["track-hourly", "track-bulk"],
}


def _headers(counter: _Counter, reset: int) -> list[Header]:
    return [
        (b"x-ratelimit-limit", b"%d" % counter.window.requests),
        (b"x-ratelimit-remaining", b"%d" % (counter.window.requests - counter.used)),
        (b"x-ratelimit-reset", b"%d" % reset),
    ]
