"""The program file: what the program may cost in a month."""

from __future__ import annotations

from pydantic import Field

from recsync.program.section import Strict


class Budget(Strict):
    """What a program may cost in a calendar month (UTC), in the currency of ``include/prices.yaml``.

    Looked at before each billed step, with what that step and the rest of its run are expected to cost. A step that
    would go beyond it is not begun, and its run fails; what Braze has stays as it is. The next month starts anew.

    :param monthly: None: no limit; what is used is counted all the same.
    :param warn_at: share of the limit from which on each step warns.
    :param data_points_per_month: Braze data points, which have no public price; None: no limit.
    """

    monthly: float | None = Field(default=None, gt=0)
    warn_at: float = Field(default=0.8, gt=0, le=1)
    data_points_per_month: int | None = Field(default=None, ge=1)
