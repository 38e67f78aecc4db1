from __future__ import annotations

import pytest

from braze_client.errors import BrazeSettingsError
from braze_client.pace import Burst
from braze_client.rate_plan import Family, RatePlan, burst_of


def test_an_empty_extra_is_brazes_own_plan() -> None:
    plan = RatePlan.from_extra({})
    assert plan == RatePlan()
    assert (plan.objects_per_call, plan.bytes_per_call, plan.requests_per_second) == (75, 3_500_000, 1_000)


def test_bulk_changes_size_and_rate_of_a_call() -> None:
    plan = RatePlan.from_extra({"bulk": True, "bulk_max_objects": 500})
    assert (plan.objects_per_call, plan.bytes_per_call, plan.requests_per_second) == (500, 1_900_000, 50)


def test_the_texts_of_a_connection_uri_are_read() -> None:
    extra = {"bulk": "true", "burst_requests": "60", "burst_seconds": "2.5", "max_tries": "3"}
    assert RatePlan.from_extra(extra) == RatePlan(
        bulk=True, burst_requests=60, burst_seconds=2.5, max_tries=3
    )


def test_the_fields_may_stand_in_an_object_of_their_own() -> None:
    assert RatePlan.from_extra({"rate_plan": {"max_tries": 3}}) == RatePlan(max_tries=3)
    assert RatePlan.from_extra({"rate_plan": "data_points"}) == RatePlan()


def test_other_fields_are_named_without_their_values(caplog: pytest.LogCaptureFixture) -> None:
    assert RatePlan.from_extra({"api_key": "do-not-show", "max_tris": 3}) == RatePlan()
    assert "['api_key', 'max_tris'] not used" in caplog.text
    assert "do-not-show" not in caplog.text


def test_all_problems_come_at_once() -> None:
    extra = {
        "max_objects": 0,
        "bulk": "perhaps",
        "burst_requests": True,
        "burst_seconds": "nan",
        "connections": 2.5,
        "max_tries": None,
    }
    with pytest.raises(BrazeSettingsError) as caught:
        RatePlan.from_extra(extra, conn_id="braze_eu")
    lines = str(caught.value).splitlines()
    assert len(lines) == len(extra)
    assert all(line.startswith("Connection braze_eu, extra: ") for line in lines)
    assert "bulk = 'perhaps': allowed is true or false" in lines[0]
    assert "max_objects = 0: allowed is a whole number from 1 to 1,000" in lines[4]


def test_no_family_is_faster_than_the_plan() -> None:
    plan = RatePlan(burst_requests=60, burst_seconds=3)
    assert burst_of(Family.TRACK, RatePlan()) == Burst(3_000, 3)
    assert burst_of(Family.TRACK, plan) == Burst(60, 3)
    assert burst_of(Family.CATALOG_ITEMS, plan) == Burst(60, 3)
    assert burst_of(Family.EXPORT, RatePlan()) == Burst(40, 1)
