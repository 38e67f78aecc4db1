"""The tree of errors: what the caller does next is decided by the class alone.

RecsyncError
├── FatalError        do not retry: a person must change something first
│   └── ProgramError  the program file is wrong; holds every problem found, not just the first
├── RetriableError    try again, after ``retry_after_seconds`` when the service said so
└── RejectedError     this record only: counted, kept, replayable

Every message says what happened, to which object, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence


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


class RetriableError(RecsyncError):
    """The same call may succeed later.

    :param retry_after_seconds: the service's own hint, None when it gave none.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class RejectedError(RecsyncError):
    """One record was refused; the others are not affected."""
