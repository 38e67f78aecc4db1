"""The retry policy of every task: what recsync's errors, and those of libraries, mean to Airflow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.sdk import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowNotFoundException
from botocore.exceptions import ParamValidationError
from jinja2 import TemplateError

from airflow_personalize.aws_errors import is_permanent
from recsync.errors import FATAL, REJECTED, RETRIABLE, UnexpectedError

if TYPE_CHECKING:
    from airflow.sdk import Context

# A rejected record that leaves a task is rejected again by the next try. A question that nobody answered in its time is
# not asked again. The library errors are a safety net: the code
# that meets one should raise a FatalError that says what to do.
_PERMANENT = (
    *FATAL,
    *REJECTED,
    AirflowNotFoundException,
    AttributeError,
    FileNotFoundError,
    HITLTimeoutError,
    ImportError,
    IsADirectoryError,
    NameError,
    NotADirectoryError,
    NotImplementedError,
    ParamValidationError,
    TemplateError,
    TypeError,
    UnicodeError,
)


class ErrorRetryPolicy(RetryPolicy):
    """Fail at once what no retry can help; retry a RetriableError after the time that the service named.

    Any other error follows the task's own ``retries`` and ``retry_delay``. A policy cannot retry more often than
    ``retries`` says.

    https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/tasks.html
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide by the class of the error; the reason names only the class, because Airflow stores it."""
        kind = exception.kind if isinstance(exception, UnexpectedError) else type(exception)
        name = kind.__name__
        if issubclass(kind, _PERMANENT) or is_permanent(exception):
            return RetryDecision.fail(f"{name}: a retry cannot help.")
        seconds = exception.retry_after_seconds if isinstance(exception, RETRIABLE) else None
        if seconds is None:
            return RetryDecision.default()
        return RetryDecision.retry(timedelta(seconds=seconds), f"{name}: retry after {seconds:g} seconds.")

    def serialize(self) -> dict[str, Any]:
        """Return nothing: the policy has no settings."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> ErrorRetryPolicy:
        """Return a policy."""
        return cls()


RETRY_POLICY = ErrorRetryPolicy()
