"""One call: the limiter, retries, waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from braze_calls import NOW, PEOPLE, SENT, Braze, track
from scripted_http import Reply

from braze_client.answers import TrackResult
from braze_client.client import BrazeClient
from braze_client.errors import BrazeUnclear
from recsync.errors import RETRIABLE


def test_what_comes_before_sending_waits_for_the_limiter_in_each_try(tmp_path: Path) -> None:
    braze = Braze(tmp_path, Reply(429, {}, {"X-Ratelimit-Retry-After": "7"}), Reply())
    passed: list[tuple[int, float]] = []

    async def before_sending() -> None:
        passed.append((len(braze.script.requests), sum(braze.slept)))
        await asyncio.sleep(0)

    braze.run(lambda client: client.track_attributes(PEOPLE, before_sending=before_sending))
    assert [requests for requests, _ in passed] == [0, 1]
    assert passed[1][1] >= 7


def test_a_call_queued_in_maintenance_counts_as_taken(tmp_path: Path) -> None:
    braze = Braze(tmp_path, Reply(202, {"message": "queued"}))
    assert braze.run(track) == TrackResult()
    assert braze.answers == {"202": 1}


@pytest.mark.parametrize(
    "bad",
    [
        Reply(500, {"message": "oops"}),
        Reply(502, b"<html>Bad gateway</html>"),
        Reply(429, {"message": "slow"}),
        Reply(201, b'{"attributes_processed":2', {"Content-Length": "400"}),
        Reply(302, b"", {"Location": "http://127.0.0.1:1/"}),
        Reply(drop=True),
    ],
    ids=[
        "500",
        "502",
        "429",
        "cut short",
        "redirect",
        "reset",
    ],
)
def test_an_unclear_answer_is_sent_again_whole(tmp_path: Path, bad: Reply) -> None:
    if bad.headers.get("Content-Length"):
        bad.headers["Connection"] = "close"
    braze = Braze(tmp_path, bad, Reply())
    braze.run(track)
    assert braze.bodies == [SENT] * 2
    assert sum(braze.answers.values()) == 2
    assert braze.slept


def test_without_a_clear_answer_nothing_is_assumed(tmp_path: Path) -> None:
    braze = Braze(tmp_path, Reply(503, b"busy", {"Retry-After": "9"}))
    with pytest.raises(BrazeUnclear, match=r"3 tries.*503: busy") as caught:
        braze.run(track)
    assert isinstance(caught.value, RETRIABLE)
    assert caught.value.retry_after_seconds == 9
    assert [seconds for seconds in braze.slept if seconds == 9] == [9, 9]
    assert len(braze.script.requests) == 3


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"X-Ratelimit-Retry-After": "7"}, 7),
        ({"Retry-After": "4"}, 4),
        ({"Retry-After": "Fri, 15 Jan 2027 08:00:05 GMT"}, 5),
        ({"X-RateLimit-Reset": str(int(NOW) + 9)}, 9),
        ({"X-RateLimit-Reset": "3"}, 3),
        ({}, 1),
    ],
)
def test_a_429_waits_as_long_as_braze_says(tmp_path: Path, headers: dict[str, str], waited: float) -> None:
    braze = Braze(tmp_path, Reply(429, {}, headers), Reply())
    braze.run(track)
    assert sum(braze.slept) == pytest.approx(waited, abs=0.2)


def test_a_window_that_is_used_up_is_waited_for_before_it_is_refused(tmp_path: Path) -> None:
    used_up = {
        "X-RateLimit-Limit": "250",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(NOW) + 40),
    }

    async def twice(client: BrazeClient) -> None:
        await track(client)
        await track(client)

    braze = Braze(tmp_path, Reply(headers=used_up), Reply())
    braze.run(twice)
    assert sum(braze.slept) == pytest.approx(40, abs=0.2)
    assert braze.answers == {"201": 2}
