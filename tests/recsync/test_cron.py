from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsync.cron import Cron

BERLIN = "Europe/Berlin"
HOUR = timedelta(hours=1)
# Days with a change of the clocks somewhere, and one without.
CHANGES = [
    datetime(2026, month, day, 12, tzinfo=UTC)
    for month, day in [(3, 29), (10, 25), (3, 8), (11, 1), (4, 4), (10, 3), (7, 1)]
]
# The clocks of Berlin go forward on 29 March 2026 at 01:00 UTC, and back on 25 October 2026 at 01:00 UTC.
FORWARD, BACKWARD = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)
ZONES = [BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]
CRONS = [
    "0 * * * *", "*/15 * * * *", "30 2 * * *", "0 */2 * * *", "*/20 2 * * *", "20,40 1-2 * * *", "0 * * * 1-6",
    "0 6 * * 1", "0 3 1 * *",
]  # fmt: skip


def ticks(cron: Cron, start: datetime, end: datetime) -> list[datetime]:
    return list(takewhile(lambda tick: tick < end, cron.after(start)))


def local(moment: datetime, zone: str = BERLIN) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%d %H:%M}"


def test_six_in_the_morning_is_six_in_summer_and_in_winter() -> None:
    for start in (FORWARD, BACKWARD):
        found = list(islice(Cron("0 6 * * *", BERLIN).after(start - timedelta(days=15)), 30))
        assert {tick.astimezone(ZoneInfo(BERLIN)).hour for tick in found} == {6}
        assert {tick.hour for tick in found} == {4, 5}


def test_a_skipped_time_runs_after_the_change_and_a_doubled_one_once() -> None:
    cron = Cron("30 2 * * *", BERLIN)
    spring = list(islice(cron.after(FORWARD - timedelta(days=1)), 3))
    assert [local(tick) for tick in spring] == ["28 02:30", "29 03:30", "30 02:30"]
    assert [local(tick) for tick in islice(cron.before(spring[1]), 1)] == ["28 02:30"]
    autumn = list(islice(cron.after(BACKWARD - timedelta(days=1)), 3))
    assert [local(tick) for tick in autumn] == ["25 02:30", "26 02:30", "27 02:30"]
    assert autumn[0] == BACKWARD + timedelta(minutes=30), "the second half past two"
    every_20 = ticks(Cron("*/20 2 * * *", BERLIN), FORWARD - HOUR, FORWARD + 5 * HOUR)
    assert [local(tick) for tick in every_20] == ["29 03:00", "29 03:20", "29 03:40"]


@pytest.mark.parametrize("zone", ZONES)
def test_hourly_intervals_are_the_hours_of_utc_in_every_zone(zone: str) -> None:
    assert not Cron("*/15 * * * *", zone).is_local
    for change in (FORWARD, BACKWARD, datetime(2026, 4, 4, 15, tzinfo=UTC)):
        found = ticks(Cron("0 * * * *", zone), change - 30 * HOUR, change + 30 * HOUR)
        assert found == [change + n * HOUR for n in range(-29, 30)]


def test_an_hourly_cron_of_some_days_takes_the_days_of_the_zone() -> None:
    # Sunday 29 March has 23 hours; Monday begins at 22:00 UTC.
    found = ticks(
        Cron("0 * * * 1-6", BERLIN), FORWARD - timedelta(days=1), FORWARD + timedelta(days=1) - HOUR
    )
    assert [local(tick) for tick in found[-4:]] == ["28 22:00", "28 23:00", "30 00:00", "30 01:00"]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CHANGES),
    st.timedeltas(-timedelta(days=2), timedelta(days=2)),
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
)
def test_going_back_meets_the_same_ticks_in_order(
    change: datetime, off: timedelta, expression: str, zone: str
) -> None:
    cron, start = Cron(expression, zone), change + off
    forth = list(islice(cron.after(start), 12))
    back = list(islice(cron.before(forth[-1] + timedelta(microseconds=1)), 12))
    assert back[::-1] == forth == sorted(set(forth))
    assert start < forth[0]


@pytest.mark.parametrize("zone", ZONES)
def test_every_local_day_of_a_year_has_one_tick(zone: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))
    found = ticks(Cron("30 2 * * *", zone), start, datetime(2027, 1, 1, tzinfo=ZoneInfo(zone)))
    days = [tick.astimezone(ZoneInfo(zone)).date() for tick in found]
    assert days == [(start + timedelta(days=n)).date() for n in range(365)]
