"""Export intervals: half-open spans of time, named by their start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from croniter import croniter

# Colons are legal in S3 keys but not in many tools that copy them, so hours are written without.
KEY_FORMAT = "%Y-%m-%dT%H%MZ"
HOURLY = "0 * * * *"
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
        """Give everything before ``end``."""
        return cls(EPOCH, end)


def parse_key(key: str) -> datetime:
    """Read an interval's start back from its name."""
    return datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC)


def floor_tick(moment: datetime, cron: str | None) -> datetime:
    """Give the last boundary of export intervals that is not after ``moment``.

    Full snapshots end there, so that they and the intervals after them meet without gap or overlap.

    :param cron: schedule of the exports in UTC; None stands for hourly.
    """
    # get_prev gives what lies strictly before, and a boundary itself counts.
    just_after = moment.astimezone(UTC) + timedelta(microseconds=1)
    boundary: datetime = croniter(cron or HOURLY, just_after).get_prev(datetime)
    return boundary


def last_interval(moment: datetime, cron: str | None) -> Interval:
    """Give the last export interval that is over at ``moment``."""
    end = floor_tick(moment, cron)
    return Interval(croniter(cron or HOURLY, end).get_prev(datetime), end)


def intervals_between(start: datetime, end: datetime, cron: str | None) -> Iterator[Interval]:
    """Yield the export intervals that lie between two moments in UTC, oldest first."""
    boundaries = croniter(cron or HOURLY, start.astimezone(UTC))
    first = start if croniter.match(cron or HOURLY, start) else boundaries.get_next(datetime)
    while (last := boundaries.get_next(datetime)) <= end:
        yield Interval(first, last)
        first = last


def ticks_before(moment: datetime, cron: str | None, count: int) -> datetime:
    """Give the boundary of export intervals that lies ``count`` intervals before ``moment``, itself a boundary."""
    boundaries = croniter(cron or HOURLY, moment.astimezone(UTC))
    for _ in range(count):
        moment = boundaries.get_prev(datetime)
    return moment
