"""Read a response of Braze: accepted, rejected (and why) or unclear per object; without record content or the API key.

https://www.braze.com/docs/api/errors/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from braze_client.errors import TrackError, withhold
from braze_client.payloads import Json
from braze_client.transport import Answer

MAX_SHOWN_CHARACTERS = 500


@dataclass(frozen=True)
class TrackResult:
    """What a 2xx says about the objects of a call; those it does not name were taken.

    :param rejected: reason by position: refused.
    :param named: reason by position: an error names the object although the counts say that it was processed.
        Reading the profile back decides.
    :param unnamed: positions of objects that were refused or not: errors without a place, counts that are too low, or
        an answer of an unknown shape. Reading the profiles back decides.
    :param why: what leaves ``unnamed`` open.
    :param is_readable: whether the answer was a JSON object of Braze's.
    """

    rejected: Mapping[int, str] = field(default_factory=dict)
    named: Mapping[int, str] = field(default_factory=dict)
    unnamed: frozenset[int] = frozenset()
    why: str = ""
    is_readable: bool = True

    @property
    def is_clear(self) -> bool:
        """Whether nothing has to be read back."""
        return not (self.named or self.unnamed)

    def moved(self, by: int) -> TrackResult:
        """Place the objects in a longer sequence, ``by`` positions later."""
        return replace(
            self,
            rejected={index + by: reason for index, reason in self.rejected.items()},
            named={index + by: reason for index, reason in self.named.items()},
            unnamed=frozenset(index + by for index in self.unnamed),
        )


def document_of(answer: Answer) -> Json | None:
    """Return the JSON object in the body; None when the body is anything else."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def errors_of(document: Json) -> tuple[TrackError, ...]:
    """Read the error entries, whatever their shape; only those on ``attributes`` are placed."""
    raw = document.get("errors") or ()
    return tuple(map(_error, raw if isinstance(raw, list | tuple) else [raw]))


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
    """Return whether Braze says that it took the call."""
    return document.get("message") in ("success", "queued")


def read_track(document: Json | None, objects: int) -> TrackResult:
    """Read a 2xx of ``/users/track``, whatever its shape.

    Braze may name one object twice, once per attribute, and may name an object that it processed nevertheless, so
    the errors and ``attributes_processed`` need not add up to the objects.

    :param document: the JSON object in the body; None when the body is anything else.
    :param objects: how many were sent.
    """
    everybody = frozenset(range(objects))
    if document is None:
        why = "a 2xx without a JSON object of Braze's"
        return TrackResult(unnamed=everybody, why=why, is_readable=False)
    errors = errors_of(document)
    if objects == 1:  # whatever an error says of its place, it is about this object
        errors = tuple(TrackError(0, error.type) for error in errors)
    reasons = {e.index: e.type for e in errors if e.index is not None and e.index < objects}
    unplaced = [e.type for e in errors if e.index not in reasons]
    counted = document.get("attributes_processed")
    processed = counted if type(counted) is int else None
    surplus = 0 if processed is None else processed + len(reasons) - objects
    # Only a count that leaves the named ones out says that they were refused.
    is_refusal = processed is not None and surplus <= 0
    rejected, named = (reasons, {}) if is_refusal else ({}, reasons)
    others = everybody - reasons.keys()
    if unplaced:
        return TrackResult(rejected, named, others, unplaced[0])
    if not is_accepted(document) and (processed is None or "message" in document):
        why = "a 2xx with another message than success"
        return TrackResult(rejected, named, others, why, is_readable=processed is not None)
    if surplus < 0 or (surplus > 0 and not reasons):
        return TrackResult(
            rejected, named, others, "a count of processed objects that cannot be, and no error"
        )
    return TrackResult(rejected, named)


def errors_without_values(document: Json | None, path: str, body: bytes | None) -> Json | None:
    """Return the document with what the call held taken out of Braze's message and errors."""
    said = {key: document[key] for key in ("message", "errors") if key in document} if document else {}
    if not document or not said:
        return document
    return {**document, **_without(said, _sent(path, body))}


def _sent(path: str, body: bytes | None) -> list[Any]:
    """Return the record content of a call; the definition of a catalog is none."""
    item_id = unquote(path.partition("/items/")[2])
    try:
        return [item_id, json.loads(body)] if body and path != "/catalogs" else [item_id]
    except ValueError:
        return [item_id, body]


def _without(said: Any, values: list[Any]) -> Any:
    if isinstance(said, str):
        return withhold(said, values)
    if isinstance(said, list):
        return [_without(one, values) for one in said]
    if isinstance(said, dict):
        return {key: _without(one, values) for key, one in said.items()}
    return said


def text_of(answer: Answer, document: Json | None, secret: str, path: str, body: bytes | None) -> str:
    """Return Braze's own message, without the API key, which Braze echoes.

    :param document: the body as :func:`errors_without_values` returned it.
    """
    if document is None:
        text = withhold(answer.body.decode("utf-8", "replace"), _sent(path, body))
    else:
        shown = {key: document[key] for key in ("message", "errors") if key in document}
        text = json.dumps(shown, ensure_ascii=False)
    if secret:
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
            text = text.replace(form, "***")
    return text[:MAX_SHOWN_CHARACTERS]
