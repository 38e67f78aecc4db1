"""Work out by how many weeks the sample year is moved, so that its end still lies ahead."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

AHEAD = timedelta(weeks=2)
_WEEK = timedelta(weeks=1)


def weeks_to_shift(last_at: datetime, now: datetime) -> int:
    """Find the least number of whole weeks that puts `last_at` two weeks or more after `now`.

    Whole weeks keep every purchase on its weekday. The shift is the same for everybody
    who loads within the same week.
    """
    return math.ceil((now + AHEAD - last_at) / _WEEK)
