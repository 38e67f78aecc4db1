"""What Airflow writes about an error of a task: nothing that a record held."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa
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
from recsync.airflow_tasks import RETRY_POLICY, WithholdsRecords, guarded, is_guarded, task
from recsync.errors import (
    FatalError,
    ProgramError,
    RecsyncError,
    RejectedError,
    RetriableError,
    UnexpectedError,
)

MARKER = "anna-7f3a"


def convert() -> None:
    duckdb.sql(f"SELECT CAST(x AS INT) FROM (VALUES ('{MARKER}')) t(x)").fetchall()


def look_up() -> None:
    {}[MARKER]


def cast() -> None:
    pa.array([MARKER]).cast(pa.int64())


def explain() -> None:
    try:
        look_up()
    except KeyError as error:
        raise FatalError("audience.sql returns a row twice.") from error


def mistake() -> None:
    try:
        cast()
    finally:
        int(MARKER)


def validate() -> None:
    raise ParamValidationError(report=f"Invalid type for parameter userId, value: {MARKER}")


@pytest.mark.parametrize("fails", [convert, look_up, cast, explain, mistake, validate])
def test_neither_the_error_nor_what_is_behind_it_quotes_a_record(fails: Callable[[], None]) -> None:
    with pytest.raises(Exception) as raised:  # ruff: ignore[pytest-raises-too-broad]
        fails()
    assert MARKER in "".join(traceback.format_exception(raised.value))
    with pytest.raises(RecsyncError) as caught:
        guarded(fails)()
    told = "".join(traceback.format_exception(caught.value))
    assert MARKER not in told
    assert fails.__name__ in told


def test_the_class_and_the_place_are_told() -> None:
    with pytest.raises(
        UnexpectedError, match=r"^KeyError at test_airflow_tasks.py:\d+ \(look_up\)"
    ) as caught:
        guarded(look_up)()
    assert caught.value.kind is KeyError


def test_words_of_a_service_about_its_resources_are_told() -> None:
    def refuse() -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no s3:GetObject"}}, "GetObject")

    with pytest.raises(ClientError, match="no s3:GetObject"):
        guarded(refuse)()


def test_decorated_functions_and_operators_are_guarded() -> None:
    @task(multiple_outputs=True)
    def made(number: int) -> dict[str, Any]:
        return {"number": number}

    class Operator(WithholdsRecords):
        def execute(self) -> None:
            look_up()

    assert made.function(1) == {"number": 1}
    assert is_guarded(Operator())
    with pytest.raises(UnexpectedError):
        Operator().execute()


def lost_connection() -> None:
    raise EndpointConnectionError(endpoint_url="http://s3")


def throttled() -> None:
    raise ClientError({"Error": {"Code": "SlowDown", "Message": "x"}}, "GetObject")


def busy() -> None:
    raise RetriableError("S3 failed on s3://bucket/key")


def forbidden() -> None:
    answer = {"Error": {"Code": "AccessDenied", "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    raise ClientError(answer, "GetObject")


def wrong() -> None:
    raise FatalError("The program file is wrong.")


@pytest.mark.parametrize("fails", [lost_connection, throttled, busy])
def test_a_sensor_goes_on_looking_after_an_error_that_may_pass(fails: Callable[[], None]) -> None:
    @task.sensor(mode="reschedule", poke_interval=15)
    def hold() -> bool:
        fails()
        return True

    assert hold.function() is False


@pytest.mark.parametrize(("fails", "error"), [(forbidden, ClientError), (wrong, FatalError)])
def test_a_sensor_fails_at_once_where_looking_again_cannot_help(
    fails: Callable[[], None], error: type[Exception]
) -> None:
    @task.sensor(mode="reschedule", poke_interval=15)
    def hold() -> bool:
        fails()
        return True

    with pytest.raises(error):
        hold.function()


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
