"""Apply one custom-attribute write to the value of a profile. Pure: no clock, no I/O.

https://www.braze.com/docs/api/objects_filters/user_attributes_object
https://www.braze.com/docs/user_guide/data/activation/custom_data/custom_attributes/nested_custom_attribute_support
https://www.braze.com/docs/user_guide/data/activation/custom_data/custom_attributes/array_of_objects
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec

# Braze: a string value holds at most 255 characters, and so does the name of a nested key.
STRING_MAX_CHARACTERS = 255
# Braze: an object or an array of objects holds at most 100 KB.
OBJECT_MAX_BYTES = 100 * 1024
# Braze states no depth for attributes; this is the depth it states for catalog objects.
NESTING_MAX_LEVELS = 50
# Braze: an array of scalars holds at most 500 elements by default; the oldest are removed first.
ARRAY_MAX_ELEMENTS = 500
_IDENTIFIER_KEY, _IDENTIFIER_VALUE, _NEW_OBJECT = "$identifier_key", "$identifier_value", "$new_object"


class DroppedWriteError(Exception):
    """Braze would ignore this write although it answers 201; the message is the reason."""


class Absent(Enum):
    """Mark an attribute that a profile does not have; unlike every JSON value."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class Outcome(NamedTuple):
    """Hold the new value (`ABSENT` = removed) and the data points of the write, at least one."""

    value: Any
    points: int


def apply_write(old: Any, value: Any, *, merge: bool = False) -> Outcome:
    """Write `value` over `old` and return the outcome.

    `old` is the stored value or `ABSENT`; `merge` is the object's ``_merge_objects``.
    Raises DroppedWriteError when Braze would ignore the write although it answered 201.
    """
    if value is None:
        return Outcome(ABSENT, 1)
    if isinstance(value, list):
        return _whole_array(value)
    if isinstance(value, dict):
        return _edited(old, value, merge)
    if isinstance(value, str):
        return Outcome(_checked_string(value), 1)
    return Outcome(value, 1)


def is_plain_list(value: list[Any]) -> bool:
    """Return True if `apply_write` surely keeps the array as it is: short, distinct strings.

    A fast path for the most common write; False only means that `apply_write` must check.
    """
    try:
        characters = len("".join(value))
    except TypeError:
        return False
    return 0 < characters <= STRING_MAX_CHARACTERS and len(set(value)) == len(value)


def is_unchanged(old: Any, new: Any) -> bool:
    """Return whether two values are equal, where 1, 1.0 and true differ."""
    return type(old) is type(new) and bool(old == new)


def _whole_array(value: list[Any]) -> Outcome:
    kinds = set(map(type, value))
    if dict in kinds:
        return Outcome(_whole_objects(value), max(1, _count_leaves(value)))
    return Outcome(_unique_scalars(value, kinds), 1)


def _edited(old: Any, value: dict[str, Any], merge: bool) -> Outcome:
    for keys, edit in _OPERATORS:
        if value and value.keys() <= keys and all(isinstance(value[key], _OPERAND[key]) for key in value):
            return edit(old, value, merge)
    return _nested_object(old, value, merge)


def _increment(old: Any, value: dict[str, Any], _merge: bool) -> Outcome:
    base = 0 if old is ABSENT else old
    if isinstance(base, bool) or isinstance(value["inc"], bool) or not isinstance(base, int):
        raise DroppedWriteError("inc on a value that is not an integer")
    return Outcome(base + value["inc"], 1)


def _scalar_edits(old: Any, value: dict[str, Any], _merge: bool) -> Outcome:
    """Append values (existing ones move to the end), then remove: one data point per given value."""
    existing = [] if old is ABSENT else old
    if not isinstance(existing, list) or any(isinstance(item, dict) for item in existing):
        raise DroppedWriteError("array edit on a value that is not an array of scalars")
    added = _unique_scalars(value.get("add", []), set(map(type, value.get("add", []))))
    moved = {_identity(item) for item in added}
    kept = [item for item in existing if _identity(item) not in moved] + added
    removed = {_identity(item) for item in value.get("remove", []) if type(item) in _SCALARS}
    kept = [item for item in kept if _identity(item) not in removed]
    points = sum(len(items) for items in value.values())
    return Outcome(kept[-ARRAY_MAX_ELEMENTS:], max(1, points))


def _object_edits(old: Any, value: dict[str, Any], merge: bool) -> Outcome:
    edited = _edited_objects([] if old is ABSENT else old, value, merge=merge)
    return Outcome(edited, _edit_points(value))


def _time(_old: Any, value: dict[str, Any], _merge: bool) -> Outcome:
    return Outcome(_checked_time(value["$time"]), 1)


def _nested_object(old: Any, value: dict[str, Any], merge: bool) -> Outcome:
    new = _checked(value)
    if merge and old is not ABSENT:
        new = _merged(old, new)
    _check_size(new)
    return Outcome(new, max(1, _count_leaves(value)))


def _unique_scalars(value: list[Any], kinds: set[type]) -> list[Any]:
    """Deduplicate (the first of equal values stays) and keep the last 500, as Braze does.

    Braze documents "oldest removed first", but not which end of a too long array it keeps.
    """
    if not kinds <= _SCALARS:
        raise DroppedWriteError("array element that is neither string, number nor boolean")
    if kinds == {str}:
        # A fast path for the most common case.
        kept = list(dict.fromkeys(value))[-ARRAY_MAX_ELEMENTS:]
        longest = max(map(len, kept))
    else:
        kept = list({_identity(item): item for item in value}.values())[-ARRAY_MAX_ELEMENTS:]
        longest = max((len(item) for item in kept if isinstance(item, str)), default=0)
    if longest > STRING_MAX_CHARACTERS:
        raise DroppedWriteError("string over 255 characters")
    # A character takes at most 6 bytes in JSON, so most arrays can be measured without encoding.
    if str not in kinds or len(kept) * (6 * longest + 3) > OBJECT_MAX_BYTES:
        _check_size(kept)
    return kept


def _identity(item: Any) -> tuple[type, Any]:
    """Return a key that distinguishes 1, 1.0 and true, which are equal in Python."""
    return type(item), item


def _whole_objects(value: list[Any]) -> list[Any]:
    """Check an array of objects: no limit of elements, duplicates allowed, at most 100 KB.

    Raises DroppedWriteError where Braze drops the update.
    """
    objects = _checked(_objects(value))
    _check_size(objects)
    return list(objects)


def _edited_objects(old: Any, edits: dict[str, Any], *, merge: bool) -> list[Any]:
    """Apply ``$add``, then ``$remove``, then ``$update``, regardless of their order in `edits`.

    Without `merge` (``_merge_objects``), ``$update`` overwrites the matched object instead of merging.
    Raises DroppedWriteError when `old` is not an array of objects, an edit is malformed or the result is
    over 100 KB.
    """
    objects: list[Any] = _objects(old) + _checked(_objects(edits.get("$add", [])))
    for criterion in _objects(edits.get("$remove", [])):
        objects = [item for item in objects if not _matches(item, criterion)]
    for criterion in _objects(edits.get("$update", [])):
        new = _checked(criterion.get(_NEW_OBJECT))
        objects = [
            (_merged(item, new) if merge else new) if _matches(item, criterion) else item for item in objects
        ]
    _check_size(objects)
    return objects


def _edit_points(edits: dict[str, Any]) -> int:
    """Count data points: one per key added or updated, one per criterion of ``$remove``."""
    added = _count_leaves(edits["$add"]) if edits.get("$add") else 0
    updated = sum(_count_leaves(criterion.get(_NEW_OBJECT)) for criterion in edits.get("$update", []))
    return max(1, added + len(edits.get("$remove", [])) + updated)


def _objects(value: Any) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DroppedWriteError("array that is not made of objects only")
    return value


def _matches(item: dict[str, Any], criterion: dict[str, Any]) -> bool:
    key = criterion.get(_IDENTIFIER_KEY)
    if not isinstance(key, str) or _IDENTIFIER_VALUE not in criterion:
        raise DroppedWriteError("criterion without identifier key or value")
    return key in item and bool(item[key] == criterion[_IDENTIFIER_VALUE])


def _checked(value: Any, level: int = 1) -> Any:
    """Return nested data with every ``{"$time": ...}`` resolved to its string.

    Raises DroppedWriteError where Braze drops the entire update.
    """
    if value is None:
        raise DroppedWriteError("null inside nested data")
    if isinstance(value, str):
        return _checked_string(value)
    if not isinstance(value, dict | list):
        return value
    if level > NESTING_MAX_LEVELS:
        raise DroppedWriteError("nested too deeply")
    if isinstance(value, list):
        return [_checked(item, level + 1) for item in value]
    if value.keys() == {"$time"}:
        return _checked_time(value["$time"])
    for key in value:
        _check_key(key)
    return {key: _checked(item, level + 1) for key, item in value.items()}


def _checked_string(value: str) -> str:
    if len(value) > STRING_MAX_CHARACTERS:
        raise DroppedWriteError("string over 255 characters")
    return value


def _checked_time(value: Any) -> str:
    """Return an ISO 8601 time as sent, or raise DroppedWriteError when it is malformed."""
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise DroppedWriteError("malformed $time") from None
    return str(value)


def _check_key(key: str) -> None:
    if len(key) > STRING_MAX_CHARACTERS or not key or any(character in key for character in " .$"):
        raise DroppedWriteError("invalid nested key")


def _check_size(value: Any) -> None:
    if len(msgspec.json.encode(value)) > OBJECT_MAX_BYTES:
        raise DroppedWriteError("over 100 KB")


def _count_leaves(value: Any) -> int:
    """Count the leaf keys of nested data, which are the data points of a nested write.

    An array of scalars is one leaf; an array of objects is the sum over its objects.
    """
    if isinstance(value, list):
        if any(isinstance(item, dict) for item in value):
            return sum(_count_leaves(item) for item in value)
        return 1
    if isinstance(value, dict) and value.keys() != {"$time"}:
        return sum(_count_leaves(item) for item in value.values())
    return 1


def _merged(old: Any, new: Any) -> Any:
    """Merge two objects recursively; replace any other value."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: _merged(old.get(key), item) for key, item in new.items()}}


_SCALARS = {str, int, float, bool}
_OPERAND: dict[str, type | tuple[type, ...]] = {
    "inc": int,
    "add": list,
    "remove": list,
    "$add": list,
    "$remove": list,
    "$update": list,
    "$time": object,
}
_OPERATORS: list[tuple[set[str], Callable[[Any, dict[str, Any], bool], Outcome]]] = [
    ({"inc"}, _increment),
    ({"add", "remove"}, _scalar_edits),
    ({"$add", "$remove", "$update"}, _object_edits),
    ({"$time"}, _time),
]
