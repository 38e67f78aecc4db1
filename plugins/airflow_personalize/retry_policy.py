"""The retry policy of operators and sensors whose task has none of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from airflow_personalize.aws_errors import is_permanent
from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeRetryPolicy(RetryPolicy):
    """Fail at once what no retry can help; retry after the time that the service named.

    Any other error follows the task's own ``retries`` and ``retry_delay``.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide by the class of the error; the reason names only the class, because Airflow stores it."""
        name = type(exception).__name__
        if isinstance(exception, PersonalizeFatalError) or is_permanent(exception):
            return RetryDecision.fail(f"{name}: a retry cannot help.")
        seconds = exception.retry_after_seconds if isinstance(exception, PersonalizeRetriableError) else None
        if seconds is None:
            return RetryDecision.default()
        return RetryDecision.retry(timedelta(seconds=seconds), f"{name}: retry after {seconds:g} seconds.")

    def serialize(self) -> dict[str, Any]:
        """Return nothing: the policy has no settings."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> PersonalizeRetryPolicy:
        """Return a policy."""
        return cls()


RETRY_POLICY = PersonalizeRetryPolicy()
