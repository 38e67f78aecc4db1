"""What can be changed while the server runs: limits, latency, order, contracts."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from braze_local.limits import Limiter, Window

DAY = 86_400
Start = Callable[..., Any]


def _adjust(braze: Any, **settings: Any) -> dict[str, Any]:
    response = braze.call("PATCH", "/_local/settings", settings)
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_limits_are_set_while_it_runs(start: Start) -> None:
    braze = start()
    assert braze.get("/_local/settings").json()["limits"]["track"] == "3000/3"
    shown = _adjust(braze, limits={"track": f"1/{DAY}"}, dialect="mau", objects_per_request=2)
    assert (shown["limits"]["track"], shown["dialect"]) == (f"1/{DAY}", "mau")
    assert shown["limits"]["export"] == "250/60"
    _adjust(braze, limits={"track-burst": f"1/{DAY}"})
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


class _Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_sliding_window_lets_one_pass_as_one_leaves() -> None:
    clock = _Clock()
    limiter = Limiter("mau", {"export": Window(2, 60)}, clock, "sliding")
    assert limiter.take("export").allowed
    clock.now += 50
    assert limiter.take("export").allowed
    assert limiter.take("export").headers == [(b"x-ratelimit-retry-after", b"10")]
    clock.now += 10
    assert [limiter.take("export").allowed for _ in range(2)] == [True, False]
    clock.now += 200
    assert dict(limiter.take("export").headers)[b"x-ratelimit-reset"] == b"60"


def test_a_sliding_window_can_be_chosen(start: Start) -> None:
    braze = start("--window-kind", "sliding", "--limit", f"track=1/{DAY}")
    reset = int(braze.track({"external_id": "u"}).headers["x-ratelimit-reset"])
    assert reset - time.time() == pytest.approx(DAY, abs=60)
    assert braze.track({"external_id": "u"}).status_code == 429


def test_latency_delays_answers_without_occupying_the_server(start: Start) -> None:
    braze = start("--latency-ms", "300")
    began = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda _: braze.track({"external_id": "u"}).status_code, range(12)))
    elapsed_seconds = time.monotonic() - began
    assert statuses == [201] * 12
    # One after another they would take 3.6 s; how much less than that is not measured.
    assert 0.3 <= elapsed_seconds < 3.6
    _adjust(braze, latency_ms=0)
    assert braze.track({"external_id": "u"}).status_code == 201


def test_some_calls_are_applied_late_so_that_others_overtake_them(start: Start) -> None:
    braze = start("--apply-delay-seconds", "600", "--reorder-probability", "0.5", "--reorder-seed", "1")
    for number in range(40):
        braze.track({"external_id": f"u{number}", "a": "first"})
        braze.track({"external_id": f"u{number}", "a": "second"})
    braze.flush()
    values = [braze.custom(f"u{number}")["a"] for number in range(40)]
    assert set(values) == {"first", "second"}
    assert 0 < braze.meter()["reordered_requests"] < 80
    _adjust(braze, reorder_probability=0)
    braze.track({"external_id": "v", "a": "first"})
    braze.applied({"external_id": "v", "a": "second"})
    assert braze.custom("v") == {"a": "second"}


BULK = "/users/track/bulk"


def _attributes(number: int, **more: Any) -> dict[str, Any]:
    return {"attributes": [{"external_id": f"u{i}", "a": 1, **more} for i in range(number)]}


def test_bulk_is_refused_until_it_is_opened(start: Start) -> None:
    braze = start("--rate-limit-dialect", "none")
    assert braze.post(BULK, _attributes(1)).status_code == 404
    _adjust(braze, bulk="403")
    assert braze.post(BULK, _attributes(1)).status_code == 403
    _adjust(braze, bulk="open")
    assert braze.post(BULK, _attributes(1000)).json() == {"attributes_processed": 1000, "message": "success"}
    assert braze.post(BULK, _attributes(1001)).status_code == 400
    assert braze.post(BULK, _attributes(1000, filler="x" * 2100)).status_code == 413
    braze.flush()
    assert braze.get("/_local/profiles").json()["total"] == 1000


def test_bulk_takes_at_most_100_objects_per_user(start: Start) -> None:
    braze = start("--bulk", "open")
    assert braze.post(BULK, {"attributes": [{"external_id": "u", "a": i} for i in range(100)]}).ok
    crowded = {"attributes": [{"external_id": "u", "a": i} for i in range(101)]}
    assert braze.post(BULK, crowded).status_code == 400


def test_bulk_has_its_own_limit_and_permission(start: Start) -> None:
    braze = start("--bulk", "open", "--limit", f"track-bulk=1/{DAY}", keys=("test-key", "other:users.track"))
    assert braze.post(BULK, _attributes(1)).headers["x-ratelimit-limit"] == "1"
    assert braze.post(BULK, _attributes(1)).status_code == 429
    assert braze.track({"external_id": "u"}).status_code == 201
    braze.key = "other"
    assert braze.post(BULK, _attributes(1)).status_code == 403


def test_sync_applies_before_it_answers(braze: Any, user: str) -> None:
    answer = braze.post("/users/track/sync", {"attributes": [{"external_id": user, "a": 1}]})
    assert answer.status_code == 201
    assert answer.json() == {
        "users": [{"external_id": user, "custom_attributes": {"a": 1}}],
        "message": "success",
    }
    assert braze.custom(user) == {"a": 1}
    missing = {"external_id": f"{user}-x", "_update_existing_only": True, "a": 1}
    assert braze.post("/users/track/sync", {"attributes": [missing]}).json()["users"] == []
    two = {"attributes": [{"external_id": user, "a": 1}] * 2}
    assert braze.post("/users/track/sync", two).status_code == 400
    assert braze.post("/users/track/sync", {"attributes": [{"a": 1}]}).status_code == 400
