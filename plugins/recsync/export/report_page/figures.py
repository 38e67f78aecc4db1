"""Write numbers and times for people: thousands separated, shares in per cent, times in UTC and saying so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from recsync.export.report_page.html import Html, text, value

DAY_SECONDS = 24 * 3600


def is_number(content: Any) -> bool:
    """Tell a number from anything else a report may hold in its place."""
    return isinstance(content, int | float) and not isinstance(content, bool)


def number(content: Any) -> Html:
    """Write a number with thousands separators; None as a dash."""
    if not is_number(content):
        return value(content)
    if isinstance(content, int) or abs(content) >= 1000:
        return text(f"{content:,.0f}")
    return text(f"{content:.4g}")


def share(part: Any) -> Html:
    """Write a share of 0 to 1 in per cent; what rounding would make nothing or all says so.

    >>> share(0.0234), share(0.00001), share(1)
    ('2.34%', '< 0.01%', '100%')
    """
    if not is_number(part):
        return value(part)
    percent = part * 100
    if 0 < percent < 0.01:
        return text("< 0.01%")
    if 99.99 < percent < 100:
        return text("> 99.99%")
    return text(f"{percent:.2f}".rstrip("0").rstrip(".") + "%")


def duration(seconds: Any) -> Html:
    """Write a length of time in the unit a person would take.

    >>> duration(310), duration(7_500), duration(200_000)
    ('310 s', '2.1 h', '2.3 days')
    """
    if not is_number(seconds):
        return value(seconds)
    for unit_seconds, unit in ((DAY_SECONDS, "days"), (3600, "h")):
        if seconds >= 2 * unit_seconds:
            return text(f"{seconds / unit_seconds:.1f} {unit}")
    return text(f"{seconds:,.0f} s")


def of(part: Any, whole: Any) -> Html:
    """Write how much of a whole a part is; nothing where there is no whole."""
    return share(part / whole) if is_number(part) and is_number(whole) and whole else text("")


def moment(seconds: Any) -> Html:
    """Write epoch seconds as ``2026-11-22 05:00:00 UTC``; what is no time stays a number."""
    found = _utc(seconds)
    return text(f"{found:%Y-%m-%d %H:%M:%S} UTC") if found else number(seconds)


def iso_moment(content: Any) -> Html:
    """Write an ISO 8601 time as ``2026-11-22 05:00:00 UTC``."""
    try:
        found = datetime.fromisoformat(str(content))
    except ValueError:
        return value(content)
    return text(f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")


def tick(seconds: Any, bucket_seconds: int) -> str:
    """Label a bucket on an axis: the day, and above it the hour where buckets are shorter than days."""
    found = _utc(seconds)
    if not found:
        return f"{seconds:,}"
    return f"{found:%Y-%m-%d}" if bucket_seconds >= DAY_SECONDS else f"{found:%H:%M}\n{found:%Y-%m-%d}"


def bucket_start(seconds: Any, bucket_seconds: int) -> str:
    """Name a bucket in a sentence or a table; the label of its column says UTC."""
    return " ".join(reversed(tick(seconds, bucket_seconds).split("\n")))


def period(bucket_seconds: int) -> str:
    """Name the length of a bucket."""
    names = {3600: "hour", DAY_SECONDS: "day", 7 * DAY_SECONDS: "week"}
    return names.get(bucket_seconds, f"{bucket_seconds:,} seconds")


def _utc(seconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if is_number(seconds) else None
    except (OverflowError, ValueError, OSError):
        return None  # an epoch in microseconds, or another number that is no time
