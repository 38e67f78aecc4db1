"""Calls to a campaign, and what becomes of what the service refuses."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from airflow_personalize.hooks.personalize_runtime import RequestPace
from recsync.errors import FatalError, RecsyncError, RejectedError, RetriableError
from recsync.recommend.campaign_inference import Campaign

ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/shop-recommend"


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
    return Campaign(client, ARN, 3, RequestPace(1000.0), **more)


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
