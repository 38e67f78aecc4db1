"""What a refusal of AWS means: final, or worth another call; and what it tells a person to do."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoRegionError,
    ParamValidationError,
    ReadTimeoutError,
)

from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.refusals import is_permanent, may_pass, refusal


def refused(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "because"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Do"
    )


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (refused("AccessDenied", 403), True),
        (refused("ExpiredToken", 400), True),
        (refused("ExpiredTokenException", 503), True),
        (refused("ResourceNotFoundException", 400), True),
        (refused("SomethingNewException", 400), True),
        (refused("404", 404), True),
        (refused("412", 412), False),
        (refused("LimitExceededException", 400), False),
        (refused("ResourceInUseException", 400), False),
        (refused("SomeThrottling", 400), False),
        (refused("InternalError", 500), False),
        (ReadTimeoutError(endpoint_url="https://x"), False),
        (NoRegionError(), True),
        (ParamValidationError(report="x"), True),
    ],
)
def test_a_permanent_refusal_is_final_and_any_other_may_pass(
    error: ClientError | BotoCoreError, permanent: bool
) -> None:
    assert is_permanent(error) is permanent
    assert may_pass(error) is not permanent
    assert (refusal("list filters", error, conn_id=None) is not None) is permanent


def test_of_other_errors_only_the_package_s_retriable_one_may_pass() -> None:
    assert may_pass(PersonalizeRetriableError("later"))
    assert not may_pass(PersonalizeFatalError("no"))
    assert not may_pass(ValueError("a mistake"))


def test_the_text_names_action_reason_connection_and_remedy() -> None:
    told = refusal("read the schema", refused("AccessDeniedException", 400), conn_id="eu_account")
    assert told is not None
    assert "Cannot read the schema: AccessDeniedException: because" in told
    credentials = refusal("read the schema", refused("InvalidAccessKeyId", 403), conn_id="eu_account")
    assert credentials is not None
    assert "eu_account (AIRFLOW_CONN_EU_ACCOUNT)" in credentials
    remedy = refusal("read it", refused("AccessDenied", 403), conn_id=None, remedy="Grant it.")
    assert remedy is not None
    assert remedy.endswith("Grant it.")
