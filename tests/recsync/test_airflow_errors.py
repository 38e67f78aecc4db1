"""Which of recsync's errors end a task's retries."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowFailException

from recsync.airflow_errors import fatal_errors_fail_the_task
from recsync.errors import FatalError, ProgramError, RejectedError, RetriableError


@pytest.mark.parametrize("error", [FatalError("no access"), ProgramError(["no access"])])
def test_fatal_errors_fail_the_task_without_retry(error):
    with pytest.raises(AirflowFailException, match="no access") as raised, fatal_errors_fail_the_task():
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [RetriableError("quota"), RejectedError("row"), OSError("net")])
def test_other_errors_pass_unchanged(error):
    with pytest.raises(type(error)) as raised, fatal_errors_fail_the_task():
        raise error
    assert raised.value is error
