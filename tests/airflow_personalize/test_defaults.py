"""What the policy of the operators decides for each kind of error."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import RetryAction
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from airflow_personalize.defaults import RETRY_POLICY, PersonalizeRetryPolicy, deferrable_by_default
from airflow_personalize.errors import (
    DriftError,
    PersonalizeFatalError,
    PersonalizeRetriableError,
    QuotaFullError,
)
from airflow_personalize.operators.base import PersonalizeBaseOperator


def refused(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "because"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Do"
    )


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (PersonalizeFatalError("no"), RetryAction.FAIL, None),
        (DriftError("other settings"), RetryAction.FAIL, None),
        (NoCredentialsError(), RetryAction.FAIL, None),
        (refused("AccessDeniedException"), RetryAction.FAIL, None),
        (refused("LimitExceededException"), RetryAction.DEFAULT, None),
        (refused("InternalError", 500), RetryAction.DEFAULT, None),
        (EndpointConnectionError(endpoint_url="https://x"), RetryAction.DEFAULT, None),
        (PersonalizeRetriableError("later"), RetryAction.DEFAULT, None),
        (QuotaFullError("full", retry_after_seconds=90), RetryAction.RETRY, timedelta(seconds=90)),
        (ValueError("a mistake"), RetryAction.DEFAULT, None),
    ],
)
def test_the_class_of_the_error_decides(
    error: BaseException, action: RetryAction, delay: timedelta | None
) -> None:
    decision = RETRY_POLICY.evaluate(error, try_number=1, max_tries=3)
    assert (decision.action, decision.retry_delay) == (action, delay)
    assert "because" not in str(decision.reason)


def test_the_policy_survives_serialisation_and_is_the_default_of_the_operators() -> None:
    assert isinstance(PersonalizeRetryPolicy.deserialize(RETRY_POLICY.serialize()), PersonalizeRetryPolicy)
    assert PersonalizeBaseOperator(task_id="task").retry_policy is RETRY_POLICY
    own = PersonalizeRetryPolicy()
    assert PersonalizeBaseOperator(task_id="task", retry_policy=own).retry_policy is own


@pytest.mark.parametrize(
    ("variables", "deferrable"),
    [
        ({}, True),
        ({"AIRFLOW__RECSYNC__DEFERRABLE": "False"}, False),
        ({"AIRFLOW__AIRFLOW_PERSONALIZE__DEFERRABLE": "True", "AIRFLOW__RECSYNC__DEFERRABLE": "False"}, True),
    ],
)
def test_the_package_s_own_section_comes_before_that_of_its_host(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], deferrable: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert deferrable_by_default() is deferrable
