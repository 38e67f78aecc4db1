from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse_local.shift import AHEAD, weeks_to_shift

LAST = datetime(2018, 1, 1, 4, 1, 20, tzinfo=UTC)
WEEK = timedelta(weeks=1)


@pytest.mark.parametrize(
    ("now", "weeks"),
    [
        (LAST - AHEAD, 0),
        (LAST - AHEAD + timedelta(seconds=1), 1),
        (LAST, 2),
        (LAST + WEEK, 3),
        (LAST - 52 * WEEK, -50),
    ],
)
def test_the_least_shift_that_leaves_two_weeks_ahead(now: datetime, weeks: int) -> None:
    assert weeks_to_shift(LAST, now) == weeks


@given(st.datetimes(min_value=datetime(2015, 1, 1), max_value=datetime(2060, 1, 1)))
def test_between_two_and_three_weeks_always_lie_ahead(naive: datetime) -> None:
    now = naive.replace(tzinfo=UTC)
    ahead = LAST + weeks_to_shift(LAST, now) * WEEK - now
    assert AHEAD <= ahead < AHEAD + WEEK
