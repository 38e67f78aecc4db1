"""Rate limits: windows, dialects and headers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from braze_local.limits import DEFAULT_WINDOWS, Dialect, Limiter, Window

# A window so long that no test sees it end.
DAY = 86_400


class _Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def _limiter(dialect: Dialect, **windows: Window) -> tuple[Limiter, _Clock]:
    clock = _Clock()
    named = {name.replace("_", "-"): window for name, window in windows.items()}
    return Limiter(dialect, {**DEFAULT_WINDOWS, **named}, clock), clock


def test_windows_are_aligned_to_the_clock_and_refused_requests_do_not_count() -> None:
    limiter, clock = _limiter("classic", track=Window(2, 60))
    clock.now = 119.0
    assert [limiter.take("track").allowed for _ in range(4)] == [True, True, False, False]
    clock.now = 120.0
    allowed, headers = limiter.take("track")
    assert allowed
    assert dict(headers) == {
        b"x-ratelimit-limit": b"2",
        b"x-ratelimit-remaining": b"1",
        b"x-ratelimit-reset": b"180",
    }


def test_each_family_has_its_own_counter() -> None:
    limiter, _ = _limiter("classic", track=Window(1, 60), catalogs=Window(1, 60))
    assert limiter.take("track").allowed
    assert limiter.take("catalogs").allowed
    assert not limiter.take("track").allowed


def test_the_mau_burst_is_not_shown_in_the_headers() -> None:
    limiter, clock = _limiter("mau", track_hourly=Window(5, 3600), track_burst=Window(2, 3))
    clock.now = 7200.5
    assert dict(limiter.take("track").headers)[b"x-ratelimit-remaining"] == b"4"
    headers = dict(limiter.take("track").headers)
    assert headers[b"x-ratelimit-remaining"] == b"3"
    assert headers[b"x-ratelimit-reset"] == b"3600"
    refused = limiter.take("track")
    assert not refused.allowed
    assert refused.headers == [(b"x-ratelimit-retry-after", b"3")]
    clock.now = 7203.0
    assert [limiter.take("track").allowed for _ in range(2)] == [True, True]
    clock.now = 7206.0
    assert [limiter.take("track").allowed for _ in range(2)] == [True, False]
    assert limiter.take("track").headers == [(b"x-ratelimit-retry-after", b"3594")]


@pytest.mark.parametrize("text", ["5", "5/", "/5", "5/0", "-1/5", "a/b"])
def test_a_window_is_written_as_requests_per_seconds(text: str) -> None:
    assert Window.parse("50/60") == Window(50, 60)
    with pytest.raises(ValueError, match=r"invalid literal|window"):
        Window.parse(text)


def test_classic_answers_show_the_window_and_a_429_keeps_the_headers(start: Callable[..., Any]) -> None:
    braze = start("--limit", f"track=2/{DAY}")
    remaining = [braze.track({"external_id": "u"}).headers["X-RateLimit-Remaining"] for _ in range(2)]
    assert remaining == ["1", "0"]
    refused = braze.track({"external_id": "u"})
    assert refused.status_code == 429
    assert isinstance(refused.json()["message"], str)
    assert refused.headers["X-RateLimit-Limit"] == "2"
    reset = int(refused.headers["X-RateLimit-Reset"])
    assert reset % DAY == 0
    assert 0 <= reset - time.time() <= DAY
    assert braze.get("/catalogs").status_code == 200
    assert braze.meter()["requests"]["/users/track"] == {"201": 2, "429": 1}


def test_mau_answers_count_down_and_a_429_carries_only_the_wait(start: Callable[..., Any]) -> None:
    braze = start(
        "--rate-limit-dialect", "mau", "--limit", "track-hourly=9/3600", "--limit", f"track-burst=1/{DAY}"
    )
    allowed = braze.track({"external_id": "u"})
    assert allowed.headers["X-RateLimit-Limit"] == "9"
    assert 0 <= int(allowed.headers["X-RateLimit-Reset"]) <= 3600
    refused = braze.track({"external_id": "u"})
    assert refused.status_code == 429
    assert not {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} & {
        name.lower() for name in refused.headers
    }
    assert 0 < int(refused.headers["X-Ratelimit-Retry-After"]) <= DAY


def test_without_a_dialect_nothing_is_limited_or_shown(start: Callable[..., Any]) -> None:
    braze = start("--rate-limit-dialect", "none", "--limit", f"track=1/{DAY}")
    responses = [braze.track({"external_id": "u"}) for _ in range(3)]
    assert {response.status_code for response in responses} == {201}
    assert not [name for name in responses[0].headers if "ratelimit" in name.lower()]


def test_export_has_a_faster_limit_when_fields_are_named(start: Callable[..., Any]) -> None:
    braze = start(
        "--optional-fields-to-export", "--limit", f"export=7/{DAY}", "--limit", f"export-fields=8/{DAY}"
    )

    def limit(**body: Any) -> str:
        return str(
            braze.post("/users/export/ids", {"external_ids": ["u"], **body}).headers["X-RateLimit-Limit"]
        )

    assert limit() == "7"
    assert limit(fields_to_export=["external_id"]) == "8"
    assert limit(fields_to_export=["external_id", "campaigns_received"]) == "7"


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


def test_a_sliding_window_can_be_chosen(start: Callable[..., Any]) -> None:
    braze = start("--window-kind", "sliding", "--limit", f"track=1/{DAY}")
    reset = int(braze.track({"external_id": "u"}).headers["x-ratelimit-reset"])
    assert reset - time.time() == pytest.approx(DAY, abs=60)
    assert braze.track({"external_id": "u"}).status_code == 429
