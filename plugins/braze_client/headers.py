"""Read the rate-limit headers of an answer, in every dialect that Braze's contracts speak.

=============================== ============================================================================
``X-RateLimit-Limit``           calls allowed in a window
``X-RateLimit-Remaining``       calls left in it, for everybody who uses the workspace
``X-RateLimit-Reset``           when the window ends: epoch seconds (contracts with data points) or seconds left (MAU)
``X-Ratelimit-Retry-After``     MAU contracts, on a 429 and instead of the three above: seconds to wait
``Retry-After``                 not documented by Braze, but what a proxy in front of it says: seconds or a date
=============================== ============================================================================

https://www.braze.com/docs/api/api_limits/
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

# X-RateLimit-Reset is an epoch time or seconds left; no window lasts 30 years, so a number this large is a date.
EPOCH_THRESHOLD_SECONDS = 1_000_000_000
# Nobody waits longer than this on a header's word: an hourly window is the longest that Braze documents.
MAX_WAIT_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Window:
    """What an answer says about the window it was counted in.

    :param limit: calls allowed in the window.
    :param remaining: calls left when the answer was written.
    :param left_seconds: time until the window ends.
    :param exact: whether the end was given as a moment; seconds left are rounded, so they tell it to a second.
    """

    limit: int
    remaining: int
    left_seconds: float
    exact: bool


def retry_after_seconds(headers: Mapping[str, str], now_seconds: float) -> float | None:
    """Say how long Braze asks to wait after a refusal; None when it does not say.

    :param headers: names in lower case.
    """
    wait = _number(headers.get("x-ratelimit-retry-after"))
    if wait is None:
        wait = _seconds_or_date(headers.get("retry-after"), now_seconds)
    # With calls left, something else was the reason: the burst that these headers do not show.
    if wait is None and not _number(headers.get("x-ratelimit-remaining")):
        reset = _number(headers.get("x-ratelimit-reset"))
        wait = None if reset is None else _left(reset, now_seconds)
    return None if wait is None else min(max(wait, 0.0), MAX_WAIT_SECONDS)


def window_of(headers: Mapping[str, str], now_seconds: float) -> Window | None:
    """Read the three window headers; None when one is missing or makes no sense.

    :param headers: names in lower case.
    """
    limit = _number(headers.get("x-ratelimit-limit"))
    remaining = _number(headers.get("x-ratelimit-remaining"))
    reset = _number(headers.get("x-ratelimit-reset"))
    if limit is None or remaining is None or reset is None or limit < 1:
        return None
    left = min(max(_left(reset, now_seconds), 0.0), MAX_WAIT_SECONDS)
    return Window(int(limit), max(0, int(remaining)), left, reset > EPOCH_THRESHOLD_SECONDS)


def _left(reset: float, now_seconds: float) -> float:
    return reset - now_seconds if reset > EPOCH_THRESHOLD_SECONDS else reset


def _seconds_or_date(text: str | None, now_seconds: float) -> float | None:
    if text is None:
        return None
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        return parsedate_to_datetime(text).timestamp() - now_seconds
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
