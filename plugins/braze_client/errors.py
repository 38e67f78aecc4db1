"""The errors of this package; what to do next is decided by the class alone.

BrazeError
├── BrazeRefused        this call only: its content is at fault
├── BrazeUnclear        no clear answer after every try; whole-value writes may be sent again
├── BrazeDenied         key, permission, host or client are at fault: no retry can help
└── BrazeSettingsError  the extra of the connection holds values that are not allowed
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackError:
    """One object that Braze refused.

    :param index: position in the sequence sent; None when the answer does not place it.
    :param type: Braze's word for it.
    :param fields: names of the fields that a catalog call was refused for.
    """

    index: int | None
    type: str
    fields: tuple[str, ...] = ()


class BrazeError(Exception):
    """Everything this package raises on purpose."""


class BrazeRefused(BrazeError):  # ruff: ignore[error-suffix-on-exception-name] - named for what Braze did
    """Braze refused the whole call: 400 or 413.

    :param status: HTTP status.
    :param errors: the objects it named, if it named any.
    """

    def __init__(self, message: str, *, status: int, errors: tuple[TrackError, ...]) -> None:
        self.status = status
        self.errors = errors
        super().__init__(message)


class BrazeUnclear(BrazeError):  # ruff: ignore[error-suffix-on-exception-name] - named for what is known
    """No clear answer after every try: whether Braze took the call is unknown.

    :param retry_after_seconds: Braze's own hint, None when it gave none.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class BrazeDenied(BrazeError):  # ruff: ignore[error-suffix-on-exception-name] - named for what Braze did
    """Braze refuses every such call: 401, 403, 404 or 415.

    :param status: HTTP status.
    :param errors: what it named.
    """

    def __init__(self, message: str, *, status: int, errors: tuple[TrackError, ...] = ()) -> None:
        self.status = status
        self.errors = errors
        super().__init__(message)


class BrazeSettingsError(BrazeError):
    """The extra of the connection holds values that are not allowed: the message names each."""
