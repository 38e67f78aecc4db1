"""One person leaves JSON documents and JSON lines: the input and output of jobs, dead letters, samples, reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from recsync.forget.csv_rows import Removed
from recsync.forget.identity import Identity

# Lists of users that a job returns or a document holds.
_LISTS_OF_USERS = frozenset({"userslist", "userids", "users"})
# Members with texts that may quote an id. Others are left alone: the id of an item may be the same as that of a person.
_TEXTS = frozenset({"example", "reason", "error", "message", "rejected", "dead"})
# What the report of an export says about each column.
_BOUNDS = frozenset({"smallest", "largest"})
# What is about one person as a whole: without that person nothing of it is left.
_NOBODY: Final = object()


def without_person(lines: Iterable[bytes], identity: Identity, counted: Removed) -> Iterator[bytes]:
    """Give JSON lines without those that are about a person; others lose what names them.

    :param lines: each with its line end.
    :param counted: brought up to date with every line; a line that is changed counts as removed and as kept.
    """
    for line in lines:
        if not identity.occurs(line):
            counted.kept += 1
            yield line
            continue
        cleaned = document_without(_loaded(line), identity)
        counted.removed += cleaned != _loaded(line)
        if cleaned is not None:
            counted.kept += 1
            yield json.dumps(cleaned, ensure_ascii=False).encode() + b"\n"


def document_without(document: Any, identity: Identity) -> Any:
    """Give a document without a person; None when all of it is about them."""
    cleaned = _without(document, identity)
    return None if cleaned is _NOBODY else cleaned


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        # A line that is no JSON is kept as a text, without the id.
        return line.decode(errors="replace").rstrip("\n")


def _without(value: Any, identity: Identity, member: str = "") -> Any:
    if isinstance(value, str):
        return identity.redacted(value) if member in _TEXTS else value
    if isinstance(value, list):
        kept = [_without(one, identity, member) for one in value]
        return [one for one in kept if one is not _NOBODY]
    if not isinstance(value, dict):
        return value
    if any(str(one) in identity.of_column(name) for name, one in value.items() if isinstance(one, str | int)):
        return _NOBODY
    bounds = _BOUNDS if identity.of_column(str(value.get("name"))) else frozenset()
    cleaned = {
        name: identity.redacted(one)
        if name in bounds and isinstance(one, str)
        else _member(name, one, identity)
        for name, one in value.items()
    }
    # Around it: {"input": {"userId": …}}, {"object": {"external_id": …}}, {"values": {"USER_ID": …}}.
    return _NOBODY if _NOBODY in cleaned.values() else cleaned


def _member(name: str, value: Any, identity: Identity) -> Any:
    plain = name.replace("_", "").casefold()
    if plain in _LISTS_OF_USERS and isinstance(value, list):
        value = [one for one in value if not (isinstance(one, str) and one in identity.ids)]
    if plain == "object" and isinstance(value, str):
        # A dead letter's payload may be JSON in a text.
        try:
            payload = json.loads(value)
        except ValueError:
            payload = None
        if isinstance(payload, dict) and _without(payload, identity) is _NOBODY:
            return _NOBODY
    return _without(value, identity, plain)
