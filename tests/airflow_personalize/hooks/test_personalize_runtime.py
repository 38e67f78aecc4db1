"""PersonalizeRuntimeHook: requests without empty members, replies without the envelope, refusals; and the pace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.hooks.personalize_runtime import PUT_ITEMS, PersonalizeRuntimeHook, RequestPace

CAMPAIGN = "arn:aws:personalize:eu-west-1:123456789012:campaign/mail"
CASES = {
    "get_recommendations": ("/recommendations", {"userId": "u"}, {"itemList": [{"itemId": "i"}]}),
    "get_personalized_ranking": (
        "/personalize-ranking",
        {"userId": "u", "inputList": ["i", "j"]},
        {"personalizedRanking": [{"itemId": "j"}, {"itemId": "i"}]},
    ),
    "get_action_recommendations": (
        "/action-recommendations",
        {"userId": "u"},
        {"actionList": [{"actionId": "a", "score": 0.5}]},
    ),
}


@pytest.fixture
def hook(rest_json_server, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", rest_json_server.connection("personalize-runtime"))
    return PersonalizeRuntimeHook()


@pytest.mark.parametrize("operation", CASES)
def test_asks_and_answers_in_the_api_s_members(hook, rest_json_server, operation):
    path, request, reply = CASES[operation]
    rest_json_server.on(path, {**reply, "recommendationId": "r"})
    answer = getattr(hook, operation)(campaignArn=CAMPAIGN, filterArn=None, **request)
    assert answer == {**reply, "recommendationId": "r"}
    assert rest_json_server.calls == [(path, {"campaignArn": CAMPAIGN, **request})]


@pytest.mark.parametrize("operation", CASES)
def test_a_refusal_names_the_campaign(hook, rest_json_server, operation):
    path, request, _ = CASES[operation]
    rest_json_server.on(path, rest_json_server.refusal("ResourceNotFoundException", "No campaign.", 404))
    with pytest.raises(PersonalizeFatalError, match=f"{CAMPAIGN}.*No campaign"):
        getattr(hook, operation)(campaignArn=CAMPAIGN, **request)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def test_calls_keep_the_pace_and_a_slow_call_leaves_no_debt_and_no_credit():
    clock = Clock()
    pace = RequestPace(PUT_ITEMS.requests_per_second, clock=lambda: clock.now, sleep=clock.sleep)
    for _ in range(3):
        pace.wait()
    clock.now += 5.0
    pace.wait()
    pace.wait()
    assert clock.slept == [0.1, 0.1, 0.1]


def test_calls_pass_at_even_distances_and_never_in_a_burst():
    clock, passed = Clock(), []
    pace = RequestPace(4, clock=lambda: clock.now, sleep=clock.sleep)
    for _ in range(4):
        pace.wait()
        passed.append(clock.now)
    clock.now += 10
    for _ in range(2):
        pace.wait()
        passed.append(clock.now)
    assert passed == [100, 100.25, 100.5, 100.75, 110.75, 111.0]


def test_threads_share_the_pace():
    slept: list[float] = []
    pace = RequestPace(4, clock=lambda: 100.0, sleep=slept.append)
    with ThreadPoolExecutor(8) as threads:
        for _ in range(40):
            threads.submit(pace.wait)
    assert sorted(slept) == [turn / 4 for turn in range(1, 40)]
