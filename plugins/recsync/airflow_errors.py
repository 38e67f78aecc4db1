"""The retry policy of every task: what recsync's errors, and those of libraries, mean to Airflow."""

from __future__ import annotations

from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.sdk.exceptions import AirflowNotFoundException
from botocore.exceptions import ParamValidationError
from jinja2 import TemplateError

from airflow_personalize.retry_policy import PersonalizeRetryPolicy
from recsync.errors import FATAL, REJECTED, RETRIABLE, UnexpectedError

# A rejected record is rejected again by the next try. A question that nobody answered in time is not asked again. The
# library errors are a safety net: the code that catches one should raise a FatalError that says what to do.
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


class ErrorRetryPolicy(PersonalizeRetryPolicy):
    """Decide by recsync's errors, and by those of the libraries that its tasks call."""

    permanent = _PERMANENT
    retriable = RETRIABLE

    def class_of(self, exception: BaseException) -> type[BaseException]:
        """Return the class that an UnexpectedError stands for."""
        return exception.kind if isinstance(exception, UnexpectedError) else type(exception)


RETRY_POLICY = ErrorRetryPolicy()
