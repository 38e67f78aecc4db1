"""Airflow's cron timetables with the ticks of :class:`recsync.cron.Cron`, for crons in a local time zone.

Airflow 3.3.2 goes back wrongly from a time that daylight saving skipped (``CronMixin._get_prev`` returns the tick
itself), which loses the interval before it when a DAG is parsed at that moment, and gives a manual run a zero-length
interval. Crons that run in every hour of some days lose or repeat an hour, and half-hour changes cut an hour in two.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow._shared.timezones.timezone import coerce_datetime
from airflow.timetables._cron import CronMixin
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.timetables.trigger import CronTriggerTimetable

from recsync.cron import Cron


class _LocalTicks(CronMixin):
    """Step from tick to tick in UTC."""

    @property
    def summary(self) -> str:
        """Show the time zone beside the cron expression."""
        return f"{self._expression} {self._timezone.name}"

    def _get_next(self, current: datetime) -> Any:
        return coerce_datetime(next(self._cron.after(current)))

    def _get_prev(self, current: datetime) -> Any:
        return coerce_datetime(next(self._cron.before(current)))

    @property
    def _cron(self) -> Cron:
        return Cron(self._expression, self._timezone.name)


class LocalCronDataIntervalTimetable(_LocalTicks, CronDataIntervalTimetable):
    """Cut time into intervals at the ticks of a cron in a local time zone."""


class LocalCronTriggerTimetable(_LocalTicks, CronTriggerTimetable):
    """Start runs at the ticks of a cron in a local time zone."""


TIMETABLES = [LocalCronDataIntervalTimetable, LocalCronTriggerTimetable]


def interval_timetable(cron: Cron) -> Any:
    """Return a timetable with a run for each interval of a cron."""
    if cron.is_local:
        return LocalCronDataIntervalTimetable(cron.expression, cron.timezone)
    from airflow.sdk import CronDataIntervalTimetable as SdkTimetable

    return SdkTimetable(cron.expression, timezone="UTC")


def trigger_timetable(cron: Cron) -> Any:
    """Return a timetable that starts runs at the ticks of a cron, beginning with the next one.

    Airflow also starts the last tick when the DAG has a start date or the tick is recent. The first unpause of a weekly
    training must not, so these DAGs have no start date and a grace of zero.
    """
    if cron.is_local:
        return LocalCronTriggerTimetable(cron.expression, timezone=cron.timezone, run_immediately=timedelta())
    from airflow.sdk import CronTriggerTimetable as SdkTimetable

    return SdkTimetable(cron.expression, timezone="UTC", run_immediately=timedelta())
