"""The brake on removals."""

from __future__ import annotations

from dataclasses import fields

import pytest

from recsync.program import Delivery
from recsync.push.plan_format import PlanFigures, removal_brake


@pytest.mark.parametrize(
    ("had", "losing", "delivery", "stops"),
    [
        (20, 10, {}, False),  # no more than ten
        (20, 11, {}, True),
        (100, 11, {}, True),
        (200, 20, {}, False),  # no more than ten percent
        (200, 21, {}, True),
        (100, 40, {"max_removed_share": 0.5}, False),
        (100, 100, {"max_removed_share": 1}, False),
        (100, 50, {"max_users_per_run": 5}, True),  # a cap makes many small steps of it
    ],
)
def test_the_brake_on_removals_needs_more_than_ten_people_and_more_than_the_share(
    had: int, losing: int, delivery: dict[str, float], stops: bool
) -> None:
    known = {field.name: {} if field.type.startswith("dict") else 0 for field in fields(PlanFigures)}
    figures = PlanFigures(**{**known, "had_list": had, "losing": losing, "losing_outside": losing})
    brake = removal_brake(Delivery(**delivery), figures)
    assert brake.startswith(f"{losing} of the {had} people") == bool(brake) == stops
