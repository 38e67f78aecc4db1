"""The errors of this package, and the removal of record content from texts.

BrazeError
├── BrazeRefused        this call only: its content is at fault
├── BrazeUnclear        no clear answer after every try; whole-value writes may be sent again
├── BrazeDenied         key, permission, host or client are at fault: no retry can help
└── BrazeSettingsError  the extra of the connection holds values that are not allowed
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


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


class _Refusal(BrazeError):  # ruff: ignore[error-suffix-on-exception-name] - what its two kinds share
    """Braze refused a call.

    :param status: HTTP status.
    :param errors: the objects it named, if it named any.
    """

    def __init__(self, message: str, *, status: int, errors: tuple[TrackError, ...] = ()) -> None:
        self.status = status
        self.errors = errors
        super().__init__(message)


class BrazeRefused(_Refusal):
    """Braze refused the whole call: 400 or 413."""


class BrazeUnclear(BrazeError):  # ruff: ignore[error-suffix-on-exception-name] - named after the outcome
    """No clear answer after every try: whether Braze took the call is unknown.

    :param retry_after_seconds: Braze's own hint, None when it gave none.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class BrazeDenied(_Refusal):
    """Braze refuses every such call: 401, 403, 404 or 415."""


class BrazeSettingsError(BrazeError):
    """The extra of the connection holds values that are not allowed: the message names each."""


WITHHELD = "[withheld]"


def withhold(text: str, values: Iterable[Any]) -> str:
    """Replace each of these values where it is in a text, as a whole word.

    :param values: what a request held: ids, items, attribute values; nested lists and objects are walked.
    """
    found = {one for one in _texts(values) if one.strip() and one in text}
    if not found:
        return text
    pattern = "|".join(re.escape(one) for one in sorted(found, key=len, reverse=True))
    return re.sub(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", WITHHELD, text)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, Iterable):
        for one in value:
            yield from _texts(one)
    else:
        yield str(value)
