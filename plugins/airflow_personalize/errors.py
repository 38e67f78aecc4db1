"""The errors of this package: whether a retry can help is decided by the class alone.

PersonalizeError
├── PersonalizeFatalError      do not retry: a person must change something first
│   └── DriftError                 a resource exists with other settings
└── PersonalizeRetriableError  try again, after ``retry_after_seconds`` when that is known
    └── QuotaFullError             as many jobs run as the account may have; one of them has to end first

Every message says what happened, to which resource, and what to do.
"""

from __future__ import annotations


class PersonalizeError(Exception):
    """Everything this package raises on purpose."""


class PersonalizeFatalError(PersonalizeError):
    """A retry cannot help: the message says what to change."""


class DriftError(PersonalizeFatalError):
    """A resource exists with other settings than requested: the message names each difference."""


class PersonalizeRetriableError(PersonalizeError):
    """The same call may succeed later.

    :param retry_after_seconds: the service's own hint, None when it gave none.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class QuotaFullError(PersonalizeRetriableError):
    """As many jobs are pending or running as the account may have: the same call succeeds once one of them ends."""
