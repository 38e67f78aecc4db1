"""Raise what AWS refuses as recsync's errors."""

from __future__ import annotations

from airflow_personalize.aws_errors import refusal
from recsync.errors import FatalError


def fatal(
    action: str, error: BaseException, *, conn_id: str | None, remedy: str | None = None
) -> FatalError | None:
    """Return the FatalError to raise for an error that no retry can help; None for any other error.

    The parameters are those of :func:`airflow_personalize.aws_errors.refusal`.
    """
    text = refusal(action, error, conn_id=conn_id, remedy=remedy)
    return FatalError(text) if text else None
