"""Calls to a campaign: their pace, and what becomes of what the service refuses."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from recsync.errors import FatalError, RecsyncError, RejectedError, RetriableError
from recsync.recommend.campaign_calls import Campaign, Pace

ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/shop-recommend"


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def stubbed() -> tuple[Any, Stubber]:
    client = boto3.client(
        "personalize-runtime",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"mode": "standard", "max_attempts": 1}),
    )
    stubber = Stubber(client)
    stubber.activate()
    return client, stubber


def campaign(client: Any, **more: Any) -> Campaign:
    return Campaign(client, ARN, 3, Pace(1000.0), **more)


def test_calls_pass_at_even_distances_and_never_in_a_burst() -> None:
    clock = Clock()
    pace, passed = Pace(4, clock=lambda: clock.now, sleep=clock.sleep), []
    for _ in range(4):
        pace.wait()
        passed.append(clock.now)
    clock.now += 10
    for _ in range(2):
        pace.wait()
        passed.append(clock.now)
    assert passed == [100, 100.25, 100.5, 100.75, 110.75, 111.0]


def test_actions_are_asked_for_with_filter_and_values(stubbed: tuple[Any, Stubber]) -> None:
    client, stubber = stubbed
    reply = {"actionList": [{"actionId": "a", "score": 0.5}, {"actionId": "b", "score": 0.25}]}
    asked = {"campaignArn": ARN, "userId": "u", "numResults": 3}
    stubber.add_response("get_action_recommendations", reply, asked)
    assert campaign(client).actions("u", {"KIND": '"x"'}) == (["a", "b"], [0.5, 0.25])
    filtered = {**asked, "filterArn": "arn:filter", "filterValues": {"KIND": '"x"'}}
    stubber.add_response("get_action_recommendations", reply, filtered)
    assert campaign(client, filter="arn:filter").actions("u", {"KIND": '"x"'})[0] == ["a", "b"]
    stubber.assert_no_pending_responses()


def test_items_without_scores_are_taken(stubbed: tuple[Any, Stubber]) -> None:
    client, stubber = stubbed
    reply = {"itemList": [{"itemId": "a"}, {"itemId": "b"}]}
    stubber.add_response("get_recommendations", reply, {"campaignArn": ARN, "numResults": 3})
    assert campaign(client).items() == (["a", "b"], [])


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ThrottlingException", 400, RetriableError),
        ("InternalFailure", 500, RetriableError),
        ("TooManyRequestsException", 429, RetriableError),
        ("InvalidInputException", 400, RejectedError),
        ("ResourceNotFoundException", 404, FatalError),
        ("AccessDeniedException", 403, FatalError),
    ],
)
def test_a_refusal_says_what_to_do_next(
    stubbed: tuple[Any, Stubber], code: str, status: int, expected: type[RecsyncError]
) -> None:
    client, stubber = stubbed
    stubber.add_client_error("get_action_recommendations", code, "because", http_status_code=status)
    with pytest.raises(expected, match="because"):
        campaign(client).actions("u")
