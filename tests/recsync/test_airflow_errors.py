"""What the retry policy decides for each class of error."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.sdk import RetryAction, RetryPolicy
from airflow.sdk.exceptions import AirflowNotFoundException
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ReadTimeoutError,
)

from airflow_personalize.errors import QuotaFullError
from recsync.airflow_errors import RETRY_POLICY
from recsync.errors import FatalError, ProgramError, RejectedError, RetriableError


def client_error(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Do"
    )


def decision(error: BaseException) -> Any:
    return RETRY_POLICY.evaluate(error, try_number=1, max_tries=3)


@pytest.mark.parametrize(
    "error",
    [
        FatalError("no access"),
        ProgramError(["no access"]),
        RejectedError("row"),
        AirflowNotFoundException("The conn_id `x` isn't defined"),
        FileNotFoundError("users.sql"),
        ModuleNotFoundError("snowflake"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        NoCredentialsError(),
        NoRegionError(),
        ParamValidationError(report="x"),
        HITLTimeoutError("nobody answered"),
        client_error("AccessDenied", 403),
        client_error("InvalidClientTokenId", 403),
        client_error("ResourceNotFoundException", 400),
        client_error("SomethingNewException", 400),
    ],
)
def test_what_no_retry_can_help_fails_at_once(error: BaseException) -> None:
    found = decision(error)
    assert found.action is RetryAction.FAIL
    assert found.reason == f"{type(error).__name__}: a retry cannot help."


@pytest.mark.parametrize(
    "error",
    [
        RetriableError("busy"),
        OSError("net"),
        TimeoutError(),
        MemoryError(),
        ValueError("cut JSON"),
        EndpointConnectionError(endpoint_url="http://x"),
        ReadTimeoutError(endpoint_url="http://x"),
        client_error("SlowDown", 503),
        client_error("InternalError", 500),
        client_error("ThrottlingException", 400),
        client_error("RequestTimeout", 400),
        client_error("LimitExceededException", 400),
        client_error("429", 429),
        client_error("ConditionalRequestConflict", 409),
    ],
)
def test_what_may_pass_follows_the_retries_of_the_task(error: BaseException) -> None:
    assert decision(error).action is RetryAction.DEFAULT


@pytest.mark.parametrize("kind", [RetriableError, QuotaFullError])
def test_a_time_that_a_service_names_is_waited_for(kind: type[RetriableError]) -> None:
    found = decision(kind("busy", retry_after_seconds=300))
    assert (found.action, found.retry_delay) == (RetryAction.RETRY, timedelta(minutes=5))


def test_the_policy_is_airflows() -> None:
    assert isinstance(RETRY_POLICY, RetryPolicy)
    assert type(RETRY_POLICY).deserialize(RETRY_POLICY.serialize()).evaluate(OSError(), 1, 3) == decision(
        OSError()
    )
