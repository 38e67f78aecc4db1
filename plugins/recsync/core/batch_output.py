"""Read the output lines of a batch inference job.

The lines come in any order; ``error`` and ``scores`` may be absent; a job can be ACTIVE with failed lines.
https://docs.aws.amazon.com/personalize/latest/dg/batch-data-upload.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class UserList:
    """One output line: ``error`` is None when the line holds recommendations."""

    user_id: str
    item_ids: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class UnreadableLine:
    """A line that is not what the service writes; nobody can be found in it."""

    line: int
    reason: str


def read_lines(lines: Iterable[bytes]) -> Iterator[UserList | UnreadableLine]:
    """Read JSON lines, one result per non-empty line, never raising for what a line holds."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _read(number, line)


def _read(number: int, line: bytes) -> UserList | UnreadableLine:
    try:
        document = json.loads(line)
        user_id = document["input"]["userId"]
    except (ValueError, KeyError, TypeError):
        return UnreadableLine(number, "not a JSON object with input.userId")
    if not isinstance(user_id, str) or not user_id:
        return UnreadableLine(number, "input.userId is not a string")
    if document.get("error"):
        return UserList(user_id, error=str(document["error"]))
    output = document.get("output")
    items = output.get("recommendedItems") if isinstance(output, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return UserList(user_id, error="the line has no list of strings at output.recommendedItems")
    return UserList(user_id, item_ids=tuple(items))
