"""Read Braze's rate-limit headers in both dialects, and wait before a window is used up.

https://www.braze.com/docs/api/api_limits/
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

# X-RateLimit-Reset is an epoch time on contracts with data points and seconds left on MAU contracts;
# no window lasts 30 years, so a number this large is a date.
EPOCH_THRESHOLD_SECONDS = 1_000_000_000
# Nobody waits longer than this on a header's word: an hourly window is the longest that Braze documents.
MAX_WAIT_SECONDS = 3_600.0


def retry_after_seconds(headers: Mapping[str, str], now_seconds: float) -> float | None:
    """Say how long Braze asks to wait; None when it does not say.

    :param headers: names in lower case.
    """
    for name in ("x-ratelimit-retry-after", "retry-after"):
        value = _number(headers.get(name))
        if value is not None:
            return min(max(value, 0.0), MAX_WAIT_SECONDS)
    reset = _number(headers.get("x-ratelimit-reset"))
    if reset is None:
        return None
    left = reset - now_seconds if reset > EPOCH_THRESHOLD_SECONDS else reset
    return min(max(left, 0.0), MAX_WAIT_SECONDS)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


class WindowLimiter:
    """Hold calls back once an answer said that none remain in the window; shared by threads."""

    def __init__(
        self, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._closed_until = 0.0

    def wait(self) -> None:
        """Return when a call may be made."""
        while True:
            with self._lock:
                left = self._closed_until - self._clock()
            if left <= 0:
                return
            self._sleep(left)

    def learn(self, status: int, headers: Mapping[str, str]) -> None:
        """Take in the headers of an answer."""
        used_up = status == 429 or _number(headers.get("x-ratelimit-remaining")) == 0
        wait = retry_after_seconds(headers, self._clock()) if used_up else None
        if wait:
            with self._lock:
                self._closed_until = max(self._closed_until, self._clock() + wait)
