"""Read the lines of the output of a batch segment job."""

from __future__ import annotations

import json
from typing import Any

_KEYS = ("itemId", "itemAttributes")
_USERS = ("recommendedUsers", "usersList")


def parse_answer(line: bytes) -> tuple[str, list[str], str] | None:
    """Take a line apart: query, users and error; None when it is no line of a batch segment job."""
    try:
        document = json.loads(line)
        asked: dict[str, Any] = {**document, **document.get("input", {})}
        query = next(str(asked[key]) for key in _KEYS if key in asked)
        output = document.get("output") or {}
        users: list[Any] = next((output[key] for key in _USERS if output.get(key)), [])
    except (ValueError, TypeError, AttributeError, StopIteration):
        return None
    return query, [str(user) for user in users], str(document.get("error") or "")
