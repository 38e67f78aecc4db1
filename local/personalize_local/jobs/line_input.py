"""Parse the lines of batch inputs into queries or errors.

Formats: https://docs.aws.amazon.com/personalize/latest/dg/batch-data-upload.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from personalize_local.engine import Query
from personalize_local.engine.base import Wants

# Required fields of a line by `Recommender.wants`.
_FIELDS: dict[Wants, tuple[str, ...]] = {
    "user": ("userId",),
    "item": ("itemId",),
    "ranking": ("userId", "itemList"),
    "segment_item": ("itemId",),
    "segment_attributes": ("itemAttributes",),
    "action": ("userId",),
}


@dataclass
class Line:
    """One line: its JSON object, and its query or error."""

    entry: dict[str, Any]
    query: Query
    error: str | None = None


def line_reader(wants: Wants) -> Callable[[dict[str, Any] | None], Line]:
    """Return a function that turns parsed lines (None for lines without a JSON object) into `Line`."""
    fields = _FIELDS[wants]
    missing = f"User error: Required fields for the provided recipe are {', '.join(fields)}"

    def read(entry: dict[str, Any] | None) -> Line:
        if entry is None or not all(_is_given(field, entry.get(field)) for field in fields):
            return Line(entry or {}, Query(), missing)
        return Line(entry, _query(entry, fields))

    return read


def _query(entry: dict[str, Any], fields: tuple[str, ...]) -> Query:
    if fields == ("userId",):
        return Query(entry["userId"])
    if fields == ("itemId",):
        return Query(item_id=entry["itemId"])
    if fields == ("itemAttributes",):
        return Query(attributes=entry["itemAttributes"])
    return Query(entry["userId"], item_ids=tuple(entry["itemList"]))


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Parse the JSON object of a line; None if it is not one."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _is_given(field: str, value: Any) -> bool:
    if field == "itemList":
        return isinstance(value, list) and bool(value) and all(_is_text(item) for item in value)
    return _is_text(value)


def _is_text(value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
