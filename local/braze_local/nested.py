"""Check, measure and merge nested custom attributes. Pure: JSON values in, JSON values out.

https://www.braze.com/docs/user_guide/data/activation/custom_data/custom_attributes/nested_custom_attribute_support
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

# Braze: a string value holds at most 255 characters, and so does the name of a nested key.
STRING_MAX_CHARACTERS = 255
# Braze: an object or an array of objects holds at most 100 KB.
OBJECT_MAX_BYTES = 100 * 1024
# Braze states no depth for attributes; this is the depth it states for catalog objects.
NESTING_MAX_LEVELS = 50


class DroppedWriteError(Exception):
    """Say why Braze would ignore this write after having answered 201."""


def checked(value: Any, level: int = 1) -> Any:
    """Return nested data with every ``{"$time": ...}`` resolved to its string.

    Raises DroppedWriteError when any part of it makes Braze drop the entire update.
    """
    if value is None:
        raise DroppedWriteError("null inside nested data")
    if isinstance(value, str):
        return checked_string(value)
    if not isinstance(value, dict | list):
        return value
    if level > NESTING_MAX_LEVELS:
        raise DroppedWriteError("nested too deeply")
    if isinstance(value, list):
        return [checked(item, level + 1) for item in value]
    if value.keys() == {"$time"}:
        return checked_time(value["$time"])
    for key in value:
        check_key(key)
    return {key: checked(item, level + 1) for key, item in value.items()}


def checked_string(value: str) -> str:
    """Return the string, or raise DroppedWriteError when it is over 255 characters."""
    if len(value) > STRING_MAX_CHARACTERS:
        raise DroppedWriteError("string over 255 characters")
    return value


def checked_time(value: Any) -> str:
    """Return an ISO 8601 time as sent, or raise DroppedWriteError when it is malformed."""
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise DroppedWriteError("malformed $time") from None
    return str(value)


def check_key(key: str) -> None:
    """Raise DroppedWriteError for a nested key that is over 255 characters or has a space, dot or dollar."""
    if len(key) > STRING_MAX_CHARACTERS or not key or any(character in key for character in " .$"):
        raise DroppedWriteError("invalid nested key")


def check_size(value: Any) -> None:
    """Raise DroppedWriteError when the value is over 100 KB as JSON."""
    if len(msgspec.json.encode(value)) > OBJECT_MAX_BYTES:
        raise DroppedWriteError("over 100 KB")


def leaves(value: Any) -> int:
    """Count the leaf keys of nested data: what a nested write costs in data points.

    An array of scalars is one leaf; an array of objects is the sum over its objects.
    """
    if isinstance(value, list):
        if any(isinstance(item, dict) for item in value):
            return sum(leaves(item) for item in value)
        return 1
    if isinstance(value, dict) and value.keys() != {"$time"}:
        return sum(leaves(item) for item in value.values())
    return 1


def merged(old: Any, new: Any) -> Any:
    """Merge two objects key by key, all the way down; anything that is not an object is replaced."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: merged(old.get(key), item) for key, item in new.items()}}
