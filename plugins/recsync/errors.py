"""The tree of errors. The class alone decides what the caller does.

RecsyncError
├── FatalError        a retry cannot help: a person must change something first
│   ├── ProgramError           a program file is wrong; holds every problem, not just the first
│   ├── PromotionRefusedError  a solution version does not become champion
│   └── BudgetExceededError    the next billed step would exceed the month's budget; it was not begun
├── RetriableError    try again, after ``retry_after_seconds`` if the service named a time
├── RejectedError     one record only: counted, kept, replayable
└── UnexpectedError   replaces any other error, without its text

``airflow_personalize`` and ``braze_client`` have such trees too; ``DELIBERATE``, ``FATAL``, ``RETRIABLE`` and
``REJECTED`` catch those of all three. Every message says what happened, to which object, and what to do.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

from airflow_personalize.errors import PersonalizeError, PersonalizeFatalError, PersonalizeRetriableError
from braze_client.errors import BrazeDenied, BrazeError, BrazeRefused, BrazeSettingsError, BrazeUnclear


class RecsyncError(Exception):
    """Everything recsync raises on purpose."""


class FatalError(RecsyncError):
    """A retry cannot help; the message says what to change."""


class ProgramError(FatalError):
    """A program file is wrong.

    :param problems: one line each, with file, line, field, value and the allowed values.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class PromotionRefusedError(FatalError):
    """A solution version does not become champion; the message holds the metrics."""


class BudgetExceededError(FatalError):
    """The next billed step would go beyond the month's budget; nothing of it was begun."""


class RetriableError(RecsyncError):
    """The same call may succeed later.

    :param retry_after_seconds: the service's own hint, None when it gave none.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class RejectedError(RecsyncError):
    """One record was refused; the others are not affected."""


class UnexpectedError(RecsyncError):
    """Replacement of an error: its class and place without its text, which may quote a record.

    ``kind`` is the error's class.
    """

    def __init__(self, error: BaseException) -> None:
        self.kind = type(error)
        frames = traceback.extract_tb(error.__traceback__)
        place = (
            f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} ({frames[-1].name})" if frames else ""
        )
        super().__init__(
            f"{self.kind.__name__}{place}. Its text is withheld because it may quote a record; the traceback in the "
            "log shows where it happened."
        )


DELIBERATE = (RecsyncError, PersonalizeError, BrazeError)
FATAL = (FatalError, PersonalizeFatalError, BrazeDenied, BrazeSettingsError)
RETRIABLE = (RetriableError, PersonalizeRetriableError, BrazeUnclear)
REJECTED = (RejectedError, BrazeRefused)
