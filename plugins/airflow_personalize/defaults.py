"""The defaults of this package's operators and sensors: settings and retry policy; a task's own values replace them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from airflow.providers.common.compat.sdk import conf
from airflow.sdk import RetryDecision, RetryPolicy

from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.refusals import is_permanent

if TYPE_CHECKING:
    from airflow.sdk import Context


_SECTIONS = ("airflow_personalize", "recsync")


def setting(name: str, default: str) -> str:
    """Read a setting: Airflow's section ``[airflow_personalize]``, else the host project's ``[recsync]``."""
    return next((conf.get(section, name) for section in _SECTIONS if conf.has_option(section, name)), default)


def deferrable_by_default() -> bool:
    """Return the default of ``deferrable``."""
    return setting("deferrable", "true").strip().lower() in {"true", "t", "1"}


class PersonalizeRetryPolicy(RetryPolicy):
    """Fail at once what no retry can help; retry after the time that the service named.

    Any other error follows the task's own ``retries`` and ``retry_delay``. A policy cannot retry more often than
    ``retries`` says.

    https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/tasks.html

    :cvar permanent: error classes that no retry can help, beside those that AWS calls permanent.
    :cvar retriable: error classes with ``retry_after_seconds``.
    """

    permanent: ClassVar[tuple[type[BaseException], ...]] = (PersonalizeFatalError,)
    retriable: ClassVar[tuple[type[BaseException], ...]] = (PersonalizeRetriableError,)

    def class_of(self, exception: BaseException) -> type[BaseException]:
        """Return the class that decides."""
        return type(exception)

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide by the class of the error; the reason names only the class, because Airflow stores it."""
        kind = self.class_of(exception)
        name = kind.__name__
        if issubclass(kind, self.permanent) or is_permanent(exception):
            return RetryDecision.fail(f"{name}: a retry cannot help.")
        seconds = (
            getattr(exception, "retry_after_seconds", None) if issubclass(kind, self.retriable) else None
        )
        if seconds is None:
            return RetryDecision.default()
        return RetryDecision.retry(timedelta(seconds=seconds), f"{name}: retry after {seconds:g} seconds.")

    def serialize(self) -> dict[str, Any]:
        """Return nothing: the policy has no settings."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        """Return a policy."""
        return cls()


RETRY_POLICY = PersonalizeRetryPolicy()
