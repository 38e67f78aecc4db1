"""Settings that change while the server runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

DAY = 86_400


Start = Callable[..., Any]


def test_limits_are_set_while_it_runs(start: Start) -> None:
    braze = start()
    assert braze.get("/_local/settings").json()["limits"]["track"] == "3000/3"
    shown = braze.adjust(limits={"track": f"1/{DAY}"}, dialect="mau", objects_per_request=2)
    assert (shown["limits"]["track"], shown["dialect"]) == (f"1/{DAY}", "mau")
    assert shown["limits"]["export"] == "250/60"
    braze.adjust(limits={"track-burst": f"1/{DAY}"})
    assert braze.track(*({"external_id": f"u{i}"} for i in range(3))).status_code == 400
    refused = braze.track({"external_id": "u"})
    assert refused.status_code == 429
    assert "x-ratelimit-retry-after" in refused.headers


@pytest.mark.parametrize(
    "settings",
    [
        {"limits": {"speed": "1/1"}},
        {"limits": {"track": "fast"}},
        {"colour": "red"},
        {"latency_ms": -1},
        {"bulk": "maybe"},
        [],
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(braze: Any, settings: Any) -> None:
    before = braze.get("/_local/settings").json()
    assert braze.call("PATCH", "/_local/settings", settings).status_code == 400
    assert braze.get("/_local/settings").json() == before


def test_some_calls_are_applied_late_so_that_others_overtake_them(start: Start) -> None:
    braze = start("--apply-delay-seconds", "600", "--reorder-probability", "0.5", "--reorder-seed", "1")
    for number in range(40):
        braze.track({"external_id": f"u{number}", "a": "first"})
        braze.track({"external_id": f"u{number}", "a": "second"})
    braze.flush()
    values = [braze.custom(f"u{number}")["a"] for number in range(40)]
    assert set(values) == {"first", "second"}
    assert 0 < braze.meter()["reordered_requests"] < 80
    braze.adjust(reorder_probability=0)
    braze.track({"external_id": "v", "a": "first"})
    braze.applied({"external_id": "v", "a": "second"})
    assert braze.custom("v") == {"a": "second"}
