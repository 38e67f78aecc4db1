"""PersonalizeRuntimeHook: requests without empty members, replies without the envelope, refusals."""

from __future__ import annotations

import pytest

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.hooks.personalize_runtime import PersonalizeRuntimeHook

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
