from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from scripted_http import Reply, Script, scripted

from recsync.clients.braze import BrazeClient, BrazeRefused, TrackError
from recsync.clients.braze_limits import WindowLimiter, retry_after_seconds
from recsync.clients.braze_transport import RequestsTransport
from recsync.errors import FatalError, RetriableError

KEY = "secret-key-0123"
PEOPLE = [{"external_id": "a", "recs": ["1"]}, {"external_id": "b", "recs": ["2"]}]
NOW = 1_800_000_000.0


@contextmanager
def braze(*replies: Reply, tries: int = 3) -> Generator[tuple[BrazeClient, Script, list[float]]]:
    slept: list[float] = []
    with scripted(*replies) as script:
        client = BrazeClient(
            RequestsTransport(script.url + "/", KEY),
            secret=KEY,
            max_tries=tries,
            sleep=slept.append,
            # Sleeping is noted, not done, so the clock moves by what was slept.
            clock=lambda: NOW + sum(slept),
        )
        yield client, script, slept


def test_a_clean_call_sends_the_key_and_the_objects() -> None:
    with braze(Reply()) as (client, script, slept):
        assert client.track_attributes(PEOPLE).errors == ()
    method, path, body, headers = script.requests[0]
    assert (method, path, body) == ("POST", "/users/track", {"attributes": PEOPLE})
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/json"
    assert dict(client.answers) == {"201": 1}
    assert slept == []


def test_a_partial_201_places_its_errors() -> None:
    errors = [
        {"type": "bad", "input_array": "attributes", "index": 1},
        {"type": "elsewhere", "input_array": "events", "index": 0},
        "just a text",
    ]
    with braze(Reply(body={"message": "success", "errors": errors})) as (client, _, _):
        assert client.track_attributes(PEOPLE).errors == (
            TrackError(1, "bad"),
            TrackError(None, "elsewhere"),
            TrackError(None, "just a text"),
        )


@pytest.mark.parametrize(
    "bad",
    [
        Reply(500, {"message": "oops"}),
        Reply(502, b"<html>Bad gateway</html>"),
        Reply(429, {"message": "slow"}),
        Reply(200, b"<html>Please log in</html>"),
        Reply(201, b'{"message": "succ'),
        Reply(201, {"message": "something else"}),
        Reply(302, b"", {"Location": "http://127.0.0.1:1/"}),
        Reply(drop=True),
    ],
    ids=["500", "502", "429", "login page", "truncated", "other message", "redirect", "reset"],
)
def test_an_unclear_answer_is_sent_again_whole(bad: Reply) -> None:
    with braze(bad, Reply()) as (client, script, slept):
        client.track_attributes(PEOPLE)
    assert [request[2] for request in script.requests] == [{"attributes": PEOPLE}] * 2
    assert len(slept) == 1
    assert sum(client.answers.values()) == 2


def test_without_a_clear_answer_nothing_is_assumed() -> None:
    with (
        braze(Reply(503, b"busy")) as (client, script, _),
        pytest.raises(RetriableError, match=r"3 tries.*503: busy"),
    ):
        client.track_attributes(PEOPLE)
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"X-Ratelimit-Retry-After": "7"}, 7),
        ({"Retry-After": "4"}, 4),
        ({"X-RateLimit-Reset": str(int(NOW) + 9)}, 9),
        ({"X-RateLimit-Reset": "3"}, 3),
    ],
)
def test_a_429_waits_as_long_as_braze_says(headers: dict[str, str], waited: float) -> None:
    with braze(Reply(429, {}, headers), Reply()) as (client, _, slept):
        client.track_attributes(PEOPLE)
    assert sum(slept) == pytest.approx(waited)


def test_a_window_that_is_used_up_is_waited_for_before_it_is_refused() -> None:
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 2)}
    with braze(Reply(headers=used_up), Reply()) as (client, _, slept):
        client.track_attributes(PEOPLE)
        client.track_attributes(PEOPLE)
    assert slept == [pytest.approx(2)]
    assert dict(client.answers) == {"201": 2}


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "API key"), (403, "permission"), (404, "endpoint"), (415, "report")]
)
def test_what_no_retry_can_mend_fails_at_once(status: int, hint: str) -> None:
    with (
        braze(Reply(status, {"message": f"Invalid API key: {KEY}"})) as (client, script, _),
        pytest.raises(FatalError, match=hint) as caught,
    ):
        client.track_attributes(PEOPLE)
    assert len(script.requests) == 1
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.__context__)


def test_a_refused_call_carries_what_braze_named() -> None:
    body = {
        "message": "Valid data must be provided",
        "errors": [{"type": "bad", "input_array": "attributes", "index": 0}],
    }
    with braze(Reply(400, body)) as (client, _, _), pytest.raises(BrazeRefused, match="Valid data") as caught:
        client.track_attributes(PEOPLE)
    assert caught.value.errors == (TrackError(0, "bad"),)


def test_profiles_are_read_back() -> None:
    with braze(Reply(201, {"users": [{"external_id": "a"}], "message": "success"})) as (client, script, _):
        assert client.export_users(["a", "z"], ["external_id"]) == [{"external_id": "a"}]
    assert script.requests[0][2] == {"external_ids": ["a", "z"], "fields_to_export": ["external_id"]}


def test_waits_are_never_negative_nor_endless() -> None:
    assert retry_after_seconds({"x-ratelimit-reset": str(NOW - 5)}, NOW) == 0
    assert retry_after_seconds({"x-ratelimit-reset": str(NOW + 1e6)}, NOW) == 3600
    assert retry_after_seconds({"x-ratelimit-reset": "soon"}, NOW) is None
    assert retry_after_seconds({}, NOW) is None


def test_a_limiter_without_hint_does_not_wait() -> None:
    slept: list[float] = []
    limiter = WindowLimiter(clock=lambda: NOW, sleep=slept.append)
    limiter.learn(429, {})
    limiter.wait()
    assert slept == []
