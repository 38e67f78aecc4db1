"""The tree of errors: what the caller does next is decided by the class alone.

RecsyncError
├── FatalError        do not retry: a person must change something first
│   ├── ProgramError           the program file is wrong; holds every problem found, not just the first
│   ├── PromotionRefusedError  a solution version does not become champion; the former one stays
│   └── BudgetExceededError    the next billed step would go beyond the month's budget; it was not begun
├── RetriableError    try again, after ``retry_after_seconds`` when the service said so
├── RejectedError     this record only: counted, kept, replayable
└── UnexpectedError   stands for an error that nothing expected, without its text

Amazon Personalize for Airflow and the Braze client have trees of their own, with the same meaning. Whoever catches what
any of them may raise catches ``DELIBERATE``, ``FATAL`` or ``RETRIABLE``.

Every message says what happened, to which object, and what to do.
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
    """Retrying cannot help: the message says what has to change."""


class ProgramError(FatalError):
    """A program file is wrong.

    :param problems: one line each: file, line, field, value and what is allowed.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class PromotionRefusedError(FatalError):
    """A solution version does not become champion: the message holds the figures."""


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
    """An error that nothing expected: its class and place without its text, which may quote a record.

    :param error: what was raised; ``kind`` is its class.
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
