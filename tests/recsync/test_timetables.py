"""The timetables against :class:`recsync.cron.Cron` and against Airflow's own, tick by tick."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any

import pendulum
import pytest
import time_machine
from airflow.plugins_manager import get_timetables_plugins
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.timetables.trigger import CronTriggerTimetable

from recsync.cron import Cron
from recsync.timetables import TIMETABLES, interval_timetable, trigger_timetable

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
# The more frequent crons take long for a whole year: RECSYNC_LONG_TESTS=1 does it.
YEAR = 365 if os.environ.get("RECSYNC_LONG_TESTS") else 100
# 02:30 on 29 March is 03:30 in Berlin.
SKIPPED = pendulum.datetime(2026, 3, 29, 1, 30)


def test_the_plugin_registers_the_timetables() -> None:
    assert set(TIMETABLES) <= set(get_timetables_plugins().values())


def scheduled(timetable: Any) -> Any:
    """Return the scheduler's side of a timetable."""
    return decode_timetable(encode_timetable(timetable))


def runs(timetable: Any, *, until: datetime) -> list[tuple[datetime, datetime]]:
    """Return the intervals of all runs from the start of the year, as the scheduler asks for one after the other."""
    restriction = TimeRestriction(earliest=pendulum.instance(START), latest=None, catchup=True)
    found: list[tuple[datetime, datetime]] = []
    last = None
    while True:
        last = timetable.next_dagrun_info(
            last_automated_data_interval=last, restriction=restriction
        ).data_interval
        if last.end >= until:
            return found
        found.append((last.start, last.end))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("0 * * * *", YEAR // 4),
        ("*/15 * * * *", YEAR // 12),
        ("30 2 * * *", 365),
        ("0 6 * * 1-5", YEAR),
        ("0 */6 * * *", YEAR),
    ],
)
def test_every_interval_of_a_year_is_between_two_ticks_of_the_cron(
    expression: str, days: int, zone: str
) -> None:
    cron, until = Cron(expression, zone), START + timedelta(days=days)
    if not cron.is_local and zone != "UTC":
        assert runs(scheduled(interval_timetable(cron)), until=START + timedelta(hours=3)) == runs(
            scheduled(interval_timetable(Cron(expression))), until=START + timedelta(hours=3)
        )
        return
    ticks = list(takewhile(lambda tick: tick < until, cron.after(START - timedelta(microseconds=1))))
    timetable = scheduled(interval_timetable(cron))
    assert runs(timetable, until=until) == list(pairwise(ticks))
    assert isinstance(timetable, CronDataIntervalTimetable)
    if cron.is_local and expression == "30 2 * * *":
        # Airflow's own goes forward to the same ticks; only back it goes wrongly.
        own = CronDataIntervalTimetable(expression, timezone=zone)
        assert runs(own, until=until) == list(pairwise(ticks))


@pytest.mark.parametrize("expression", ["0 6 * * *", "30 2 * * *"])
def test_runs_start_at_the_ticks_of_the_cron(expression: str) -> None:
    cron = Cron(expression, "Europe/Berlin")
    timetable = scheduled(trigger_timetable(cron))
    ticks = takewhile(lambda tick: tick < END, cron.after(START - timedelta(microseconds=1)))
    assert runs(timetable, until=END) == [(tick, tick) for tick in ticks]
    assert isinstance(timetable, CronTriggerTimetable)
    assert timetable.summary == f"{expression} Europe/Berlin"


def skipped(timetable: Any) -> tuple[datetime, datetime]:
    """Return the next interval when a DAG is parsed between the time that was skipped and the start of its run."""
    day_before = DataInterval(SKIPPED.subtract(days=2), SKIPPED.subtract(days=1))
    with time_machine.travel(SKIPPED.add(seconds=5), tick=False):
        interval = timetable.next_dagrun_info(
            last_automated_data_interval=day_before,
            restriction=TimeRestriction(earliest=pendulum.instance(START), latest=None, catchup=False),
        ).data_interval
    return interval.start, interval.end


def test_no_interval_is_lost_when_a_dag_is_parsed_at_a_skipped_time() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    timetable = scheduled(interval_timetable(cron))
    whole = (SKIPPED.subtract(days=1), SKIPPED)
    assert skipped(timetable) == whole
    manual = timetable.infer_manual_data_interval(run_after=SKIPPED.add(hours=5))
    assert (manual.start, manual.end) == whole
    # The reason for a class of our own; when Airflow mends this, it can go.
    assert skipped(CronDataIntervalTimetable(cron.expression, timezone=cron.timezone)) != whole
