"""Export intervals: half-open spans of time, named by their start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from recsync.cron import Cron

# Colons are legal in S3 keys but not in many tools that copy them, so hours are written without.
KEY_FORMAT = "%Y-%m-%dT%H%MZ"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Interval:
    """``[start, end)`` in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("an interval needs times with a time zone")
        if self.end <= self.start:
            raise ValueError(
                f"the interval {self.start.isoformat()} to {self.end.isoformat()} holds no time; a bare cron "
                "schedule gives zero-length data intervals: use CronDataIntervalTimetable"
            )

    @property
    def key(self) -> str:
        """Name the interval, e.g. ``2026-11-22T0500Z``; names sort by time."""
        return self.start.astimezone(UTC).strftime(KEY_FORMAT)

    @classmethod
    def until(cls, end: datetime) -> Interval:
        """Return the interval of everything before ``end``."""
        return cls(EPOCH, end)


def parse_key(key: str) -> datetime:
    """Parse the start of an interval from its name."""
    return datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC)


def floor_tick(moment: datetime, cron: Cron) -> datetime:
    """Return the last boundary of export intervals at or before ``moment``.

    Full snapshots end there, so that the intervals after them follow without gap or overlap.

    :param cron: cuts time into export intervals.
    """
    return next(cron.before(moment + timedelta(microseconds=1)))


def last_interval(moment: datetime, cron: Cron) -> Interval:
    """Return the last export interval that has ended at ``moment``."""
    end = floor_tick(moment, cron)
    return Interval(next(cron.before(end)), end)


def intervals_between(start: datetime, end: datetime, cron: Cron) -> Iterator[Interval]:
    """Yield the export intervals between two moments in UTC, oldest first."""
    boundaries = cron.after(start - timedelta(microseconds=1))
    first = next(boundaries)
    while (last := next(boundaries)) <= end:
        yield Interval(first, last)
        first = last


def ticks_before(moment: datetime, cron: Cron, count: int) -> datetime:
    """Return the boundary ``count`` export intervals before ``moment``, itself a boundary."""
    return next(islice(cron.before(moment), count - 1, None)) if count else moment
