"""Say recsync's errors in Airflow's terms, in one place."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from recsync.errors import FatalError


@contextmanager
def fatal_errors_fail_the_task() -> Generator[None]:
    """Let a FatalError fail the task without a retry; every other exception passes and follows the retries.

    :raises AirflowFailException: with the FatalError's text, and the error itself as its cause.
    """
    try:
        yield
    except FatalError as error:
        raise AirflowFailException(str(error)) from error
