from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsync.cron import Cron
from recsync.program.intervals import (
    EPOCH,
    Interval,
    floor_tick,
    intervals_between,
    last_interval,
    parse_key,
    ticks_before,
)

FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)


def test_a_zero_length_interval_is_an_error_that_names_the_cause() -> None:
    with pytest.raises(ValueError, match="CronDataIntervalTimetable"):
        Interval(FIVE, FIVE)


def test_keys_read_back_and_sort_by_time() -> None:
    hours = [Interval(FIVE + timedelta(hours=h), FIVE + timedelta(hours=h + 1)) for h in range(30)]
    assert [parse_key(interval.key) for interval in hours] == [interval.start for interval in hours]
    assert sorted(i.key for i in hours) == [i.key for i in hours]


def test_another_time_zone_names_the_same_interval() -> None:
    east = timezone(timedelta(hours=2))
    assert (
        Interval(FIVE.astimezone(east), FIVE.astimezone(east) + timedelta(hours=1)).key == "2026-11-22T0500Z"
    )


def test_the_last_interval_is_over_and_a_boundary_is_its_own_floor() -> None:
    assert last_interval(FIVE + timedelta(minutes=59), Cron()) == Interval(FIVE - timedelta(hours=1), FIVE)
    assert last_interval(FIVE, Cron("0 * * * *")) == Interval(FIVE - timedelta(hours=1), FIVE)
    assert floor_tick(FIVE, Cron()) == FIVE
    day = datetime(2026, 11, 22, 2, tzinfo=UTC)
    assert last_interval(FIVE, Cron("0 2 * * *")) == Interval(day - timedelta(days=1), day)
    assert Interval.until(FIVE).start == EPOCH


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from(["0 * * * *", "30 2 * * *", "*/15 * * * *"]),
    st.sampled_from(["UTC", "Europe/Berlin"]),
)
def test_a_full_snapshot_and_the_intervals_after_it_meet(
    moment: datetime, expression: str, zone: str
) -> None:
    cron = Cron(expression, zone)
    end = floor_tick(moment.replace(tzinfo=UTC), cron)
    assert end <= moment.replace(tzinfo=UTC)
    assert last_interval(moment.replace(tzinfo=UTC), cron).end == end
    assert floor_tick(end, cron) == end
    assert ticks_before(end, cron, 1) == last_interval(end, cron).start
    assert ticks_before(end, cron, 0) == end


def test_days_across_a_change_of_the_clocks_follow_without_gap() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    start, end = datetime(2026, 3, 20, 1, 30, tzinfo=UTC), datetime(2026, 4, 2, 0, 30, tzinfo=UTC)
    found = list(intervals_between(start, end, cron))
    assert (found[0].start, found[-1].end) == (start, end)
    assert all(before.end == after.start for before, after in pairwise(found))
    assert Counter(each.end - each.start for each in found) == {
        timedelta(hours=24): 12,
        timedelta(hours=23): 1,  # from 03:30, where 02:30 is skipped
    }
    assert list(intervals_between(start + timedelta(hours=1), end, cron)) == found[1:]
