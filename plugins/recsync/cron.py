"""Cron expressions in a time zone, right across the changes of daylight saving time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter

HOURLY = "0 * * * *"
# More than any zone moves its clocks, so two local times that far apart keep their order in UTC.
_LONGEST_SHIFT = timedelta(hours=3)


@dataclass(frozen=True)
class Cron:
    """A cron expression, read in a time zone.

    A local time that a change of the clocks skips is moved on by as much as the clocks are, and one that comes twice
    counts the second time, as Airflow's timetables have it. So each runs once.

    The minutes of an expression that runs in every hour are UTC's: an hour has 60 minutes in each zone, and intervals
    stay exactly one hour where clocks move by half an hour. If it names days, these are the zone's.
    """

    expression: str = HOURLY
    timezone: str = "UTC"

    @property
    def is_local(self) -> bool:
        """Return whether the time zone makes a difference."""
        return self.timezone != "UTC" and _hours_and_days(self.expression) != [["*"]] * 4

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the ticks after a moment in UTC, earliest first."""
        return self._ticks(moment.astimezone(UTC), back=False)

    def before(self, moment: datetime) -> Iterator[datetime]:
        """Yield the ticks before a moment in UTC, latest first."""
        return self._ticks(moment.astimezone(UTC), back=True)

    def _ticks(self, moment: datetime, *, back: bool) -> Iterator[datetime]:
        if not self.is_local:
            return _steps(self.expression, moment, back=back)
        if _hours_and_days(self.expression)[0] == ["*"]:
            return self._in_every_hour(moment, back=back)
        return self._at_local_times(moment, back=back)

    def _in_every_hour(self, moment: datetime, *, back: bool) -> Iterator[datetime]:
        minutes, _, days = self.expression.split(maxsplit=2)
        zone = ZoneInfo(self.timezone)
        for tick in _steps(f"{minutes} * * * *", moment, back=back):
            if croniter.match(f"* * {days}", tick.astimezone(zone).replace(tzinfo=None)):
                yield tick

    def _at_local_times(self, moment: datetime, *, back: bool) -> Iterator[datetime]:
        zone = ZoneInfo(self.timezone)
        local = moment.astimezone(zone).replace(tzinfo=None)
        start = local + _LONGEST_SHIFT if back else local - _LONGEST_SHIFT
        # Around a change, the order of local times is not that of UTC: hold ticks until no later one can precede them.
        held: set[datetime] = set()
        for time in _steps(self.expression, start, back=back):
            tick = _in_utc(time, zone)
            ready = sorted((each for each in held if abs(tick - each) >= _LONGEST_SHIFT), reverse=back)
            yield from (each for each in ready if (each < moment if back else each > moment))
            held = held.difference(ready) | {tick}


@lru_cache
def _hours_and_days(expression: str) -> list[list[int | str]]:
    fields: list[list[int | str]] = croniter(expression).expanded
    return fields[1:]


def _steps(expression: str, start: datetime, *, back: bool) -> Iterator[datetime]:
    ticks = croniter(expression, start)
    while True:
        yield ticks.get_prev(datetime) if back else ticks.get_next(datetime)


def _in_utc(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the later reading: of a skipped time the one after the change, of a doubled time the second."""
    return max(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
