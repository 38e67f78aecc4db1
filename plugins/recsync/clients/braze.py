"""Braze's REST verbs that recsync uses, over one transport, one retry policy and one limiter.

What a call can end in:

* a result: Braze took the call; a partial 201 names the objects it refused
* :class:`BrazeRefused` (RejectedError): 400 or 413, this call's content is at fault
* :class:`FatalError`: 401, 403, 404, 415: key, permission, host or client are at fault
* :class:`RetriableError`: still no clear answer after every try; whole-value writes may be sent again

https://www.braze.com/docs/api/endpoints/user_data/post_user_track/
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from recsync.clients.braze_limits import WindowLimiter, retry_after_seconds
from recsync.clients.braze_transport import Answer, ConnectionFailed, Transport
from recsync.core.payloads import Json, dumps
from recsync.errors import FatalError, RejectedError, RetriableError

# Six tries with full jitter from 1 s to 60 s ride out a minute of trouble; longer outages are for Airflow's retries.
MAX_TRIES = 6
BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 60.0
# /users/export/ids takes at most 50 ids a call.
MAX_EXPORT_IDS = 50
MAX_SHOWN_CHARACTERS = 500


@dataclass(frozen=True)
class TrackError:
    """One object that Braze refused.

    :param index: position in the array sent; None when the answer does not place it.
    """

    index: int | None
    type: str


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


class BrazeClient:
    """Call Braze.

    :param transport: where requests go.
    :param secret: the API key, cut out of every text that Braze sends back.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        secret: str,
        max_tries: int = MAX_TRIES,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._secret = secret
        self._clock = clock
        self._limiter = WindowLimiter(clock=clock, sleep=sleep)
        self._backoff = wait_random_exponential(multiplier=BACKOFF_BASE_SECONDS, max=BACKOFF_CAP_SECONDS)
        self._max_tries = max_tries
        self._sleep = sleep
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()
        """How many answers came per status ("201", "429", …) or "no answer"; every one is a request made."""

    def track_attributes(self, attributes: Sequence[Json]) -> TrackResult:
        """Write attribute objects, at most 75: ``POST /users/track``."""
        document = self._call("POST", "/users/track", {"attributes": list(attributes)}, confirm=_is_accepted)
        return TrackResult(_track_errors(document, "attributes"))

    def export_users(self, external_ids: Sequence[str], fields: Sequence[str]) -> list[Json]:
        """Read profiles back, at most 50: ``POST /users/export/ids``; unknown ids are left out."""
        body = {"external_ids": list(external_ids), "fields_to_export": list(fields)}
        document = self._call(
            "POST", "/users/export/ids", body, confirm=lambda d: isinstance(d.get("users"), list)
        )
        return list(document["users"])

    def catalog_names(self) -> list[str]:
        """List the catalogues: ``GET /catalogs``."""
        document = self._call("GET", "/catalogs", None, confirm=lambda d: isinstance(d.get("catalogs"), list))
        return [catalog["name"] for catalog in document["catalogs"]]

    def create_catalog(self, name: str, fields: Mapping[str, str]) -> None:
        """Create a catalogue with ``id`` first: ``POST /catalogs``."""
        columns = [{"name": "id", "type": "string"}] + [{"name": n, "type": t} for n, t in fields.items()]
        catalog = {"name": name, "description": "Kept by recsync", "fields": columns}
        self._call("POST", "/catalogs", {"catalogs": [catalog]}, confirm=lambda _: True)

    def put_catalog_items(self, name: str, items: Sequence[Json]) -> None:
        """Create or replace at most 50 items: ``PUT /catalogs/{name}/items``; applied asynchronously."""
        self._call("PUT", f"/catalogs/{name}/items", {"items": list(items)}, confirm=lambda _: True)

    def _call(self, method: str, path: str, body: Json | None, *, confirm: Callable[[Json], bool]) -> Json:
        payload = None if body is None else dumps(body)
        retrying = Retrying(
            retry=retry_if_exception_type(_Unclear),
            stop=stop_after_attempt(self._max_tries),
            wait=self._wait_seconds,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._try, method, path, payload, confirm)
        except _Unclear as unclear:
            raise RetriableError(
                f"Braze gave no clear answer to {method} {path} in {self._max_tries} tries; the last was: {unclear}. "
                "Nothing is counted as sent; the next try sends it again.",
                retry_after_seconds=unclear.retry_after_seconds,
            ) from None

    def _wait_seconds(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        hint = error.retry_after_seconds if isinstance(error, _Unclear) else None
        return hint if hint is not None else float(self._backoff(state))

    def _try(self, method: str, path: str, payload: bytes | None, confirm: Callable[[Json], bool]) -> Json:
        self._limiter.wait()
        try:
            answer = self._transport.send(method, path, payload)
        except ConnectionFailed as error:
            self._count("no answer")
            raise _Unclear(str(error)) from None
        self._count(str(answer.status))
        self._limiter.learn(answer.status, answer.headers)
        return self._judge(method, path, answer, confirm)

    def _count(self, status: str) -> None:
        with self._lock:
            self.answers[status] += 1

    def _judge(self, method: str, path: str, answer: Answer, confirm: Callable[[Json], bool]) -> Json:
        what = f"{method} {path}: HTTP {answer.status}: {self._text(answer)}"
        document = _document(answer)
        if answer.status in (400, 413):
            errors = _track_errors(document or {}, "attributes")
            raise BrazeRefused(f"Braze refused {what}", status=answer.status, errors=errors)
        if answer.status in _FATAL:
            raise FatalError(f"Braze refused {what}. {_FATAL[answer.status]}")
        if answer.status == 429 or not 200 <= answer.status < 300:
            raise _Unclear(what, retry_after_seconds(answer.headers, self._clock()))
        # A proxy's login page or a cut answer with status 200 is no confirmation.
        if document is None or not confirm(document):
            raise _Unclear(f"{what} (not an answer of Braze)")
        return document

    def _text(self, answer: Answer) -> str:
        """Show Braze's own message; Braze echoes a wrong key, so the key is cut out before anything else."""
        text = answer.body.decode("utf-8", "replace")
        document = _document(answer)
        if document is not None:
            text = json.dumps({key: document[key] for key in ("message", "errors") if key in document})
        if self._secret:
            text = text.replace(self._secret, "***")
        return text[:MAX_SHOWN_CHARACTERS]


_FATAL = {
    401: "Check the API key and the REST endpoint (host) of the Braze connection: a key is valid on one instance only.",
    403: "The API key lacks the permission for this call; create a key that has it, keys cannot be changed.",
    404: "Check the REST endpoint (host) of the Braze connection and the names in the program file.",
    415: "This is an error in recsync: please report it.",
}


class _Unclear(Exception):  # ruff: ignore[error-suffix-on-exception-name] - internal signal of one try
    """The try failed or its outcome is unknown: send again."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


def _document(answer: Answer) -> Json | None:
    try:
        document = json.loads(answer.body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _is_accepted(document: Json) -> bool:
    return document.get("message") in ("success", "queued")


def _track_errors(document: Json, array: str) -> tuple[TrackError, ...]:
    raw = document.get("errors")
    return tuple(_track_error(error, array) for error in raw) if isinstance(raw, list) else ()


def _track_error(error: Any, array: str) -> TrackError:
    if not isinstance(error, dict):
        return TrackError(None, str(error))
    placed = error.get("input_array") == array and isinstance(error.get("index"), int)
    return TrackError(error["index"] if placed else None, str(error.get("type", error)))
