"""Judge Braze's answers: what was taken, what was refused and whose fault it was, what is not clear.

https://www.braze.com/docs/api/errors/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from recsync.clients.braze_transport import Answer
from recsync.core.payloads import Json
from recsync.errors import FatalError, RejectedError, RetriableError

MAX_SHOWN_CHARACTERS = 500

FATAL = {
    401: "Check the API key and the REST endpoint (host) of the Braze connection: a key is valid on one instance only.",
    403: "The API key lacks the permission for this call; create a key that has it, keys cannot be changed.",
    404: "Check the REST endpoint (host) of the Braze connection and the names in the program file.",
    415: "This is an error in recsync: please report it.",
}


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


@dataclass(frozen=True)
class TrackResult:
    """What a 201 (or 202 "queued") said."""

    errors: tuple[TrackError, ...]


class BrazeRefused(RejectedError):  # ruff: ignore[error-suffix-on-exception-name] - named for what Braze did
    """Braze refused the whole call: 400 or 413.

    :param status: HTTP status.
    :param errors: the objects it named, if it named any.
    """

    def __init__(self, message: str, *, status: int, errors: tuple[TrackError, ...]) -> None:
        self.status = status
        self.errors = errors
        super().__init__(message)


class BrazeUnclear(RetriableError):  # ruff: ignore[error-suffix-on-exception-name] - named for what is known
    """No clear answer after every try: whether Braze took the call is unknown."""


class BrazeDenied(FatalError):  # ruff: ignore[error-suffix-on-exception-name] - named for what Braze did
    """Braze refuses every such call: 401, 403, 404 or 415.

    :param status: HTTP status.
    :param errors: what it named.
    """

    def __init__(self, message: str, *, status: int, errors: tuple[TrackError, ...] = ()) -> None:
        self.status = status
        self.errors = errors
        super().__init__(message)


class Unclear(Exception):  # ruff: ignore[error-suffix-on-exception-name] - internal signal of one try
    """One try failed or its outcome is unknown: send again, after the hint if there is one.

    :param limited: the rate limit was the reason.
    """

    def __init__(
        self, message: str, retry_after_seconds: float | None = None, *, limited: bool = False
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        self.limited = limited
        super().__init__(message)


def document_of(answer: Answer) -> Json | None:
    """Return the JSON object in the body; None when the body is anything else."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def errors_of(document: Json) -> tuple[TrackError, ...]:
    """Read the error entries, whatever their shape; only those on ``attributes`` are placed."""
    raw = document.get("errors")
    return tuple(map(_error, raw)) if isinstance(raw, list) else ()


def _error(error: Any) -> TrackError:
    if not isinstance(error, dict):
        return TrackError(None, str(error))
    index = error.get("index")
    placed = error.get("input_array") == "attributes" and type(index) is int and index >= 0
    fields = error.get("parameters")
    return TrackError(
        index if placed else None,
        str(error.get("type") or error.get("id") or error),
        tuple(map(str, fields)) if isinstance(fields, list) else (),
    )


def is_accepted(document: Json) -> bool:
    """Say whether this is Braze's word for having taken the call."""
    return document.get("message") in ("success", "queued")


def is_accepted_track(document: Json, objects: int) -> bool:
    """Say whether Braze took the call and its counts do not contradict what was sent."""
    processed = document.get("attributes_processed")
    errors = document.get("errors")
    named = len(errors) if isinstance(errors, list) else 0
    return is_accepted(document) and (type(processed) is not int or processed + named == objects)


def text_of(answer: Answer, secret: str) -> str:
    """Show Braze's own message; Braze echoes a wrong key, so the key is cut out before anything else."""
    document = document_of(answer)
    if document is None:
        text = answer.body.decode("utf-8", "replace")
    else:
        shown = {key: document[key] for key in ("message", "errors") if key in document}
        text = json.dumps(shown, ensure_ascii=False)
    if secret:
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
            text = text.replace(form, "***")
    return text[:MAX_SHOWN_CHARACTERS]
