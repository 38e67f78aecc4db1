"""Decide what one custom-attribute write does to the value a profile holds. Pure: no clock, no I/O.

https://www.braze.com/docs/api/objects_filters/user_attributes_object and the page on array attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, NamedTuple

from braze_local import object_arrays
from braze_local.nested import (
    OBJECT_MAX_BYTES,
    STRING_MAX_CHARACTERS,
    DroppedWriteError,
    check_size,
    checked,
    checked_string,
    checked_time,
    leaves,
    merged,
)

# Braze: an array of scalars holds at most 500 elements by default; the oldest leave first.
ARRAY_MAX_ELEMENTS = 500


class Absent(Enum):
    """Mark an attribute a profile does not have, which is not the same as any JSON value."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class Outcome(NamedTuple):
    """Hold the new value (`ABSENT` = removed) and the data points the write cost, at least one."""

    value: Any
    points: int


def written(old: Any, value: Any, *, merge: bool = False) -> Outcome:
    """Write `value` over `old` and return the outcome.

    `old` is the value held or `ABSENT`; `merge` is the object's ``_merge_objects``.
    Raises DroppedWriteError when Braze would ignore the write although it answered 201.
    """
    if value is None:
        return Outcome(ABSENT, 1)
    if isinstance(value, list):
        return _whole_array(value)
    if isinstance(value, dict):
        return _edited(old, value, merge)
    if isinstance(value, str):
        return Outcome(checked_string(value), 1)
    return Outcome(value, 1)


def is_plain_list(value: list[Any]) -> bool:
    """Tell at little cost whether `written` would return this array as it is: short, distinct strings.

    By far the most common write, and the one that has to be fast; False only means that it is not sure.
    """
    try:
        characters = len("".join(value))
    except TypeError:
        return False
    return 0 < characters <= STRING_MAX_CHARACTERS and len(set(value)) == len(value)


def unchanged(old: Any, new: Any) -> bool:
    """Tell whether a write left the value as it was; 1, 1.0 and true are different values."""
    return type(old) is type(new) and bool(old == new)


def _whole_array(value: list[Any]) -> Outcome:
    kinds = set(map(type, value))
    if dict in kinds:
        return Outcome(object_arrays.whole(value), max(1, leaves(value)))
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
    """Add values at the end (a value already there moves), then remove: one data point per value named."""
    held = [] if old is ABSENT else old
    if not isinstance(held, list) or any(isinstance(item, dict) for item in held):
        raise DroppedWriteError("array edit on a value that is not an array of scalars")
    added = _unique_scalars(value.get("add", []), set(map(type, value.get("add", []))))
    leaving = {_identity(item) for item in added}
    kept = [item for item in held if _identity(item) not in leaving] + added
    removed = {_identity(item) for item in value.get("remove", []) if type(item) in _SCALARS}
    kept = [item for item in kept if _identity(item) not in removed]
    points = sum(len(items) for items in value.values())
    return Outcome(kept[-ARRAY_MAX_ELEMENTS:], max(1, points))


def _object_edits(old: Any, value: dict[str, Any], merge: bool) -> Outcome:
    edited = object_arrays.edited([] if old is ABSENT else old, value, merge=merge)
    return Outcome(edited, object_arrays.edit_points(value))


def _time(_old: Any, value: dict[str, Any], _merge: bool) -> Outcome:
    return Outcome(checked_time(value["$time"]), 1)


def _nested_object(old: Any, value: dict[str, Any], merge: bool) -> Outcome:
    new = checked(value)
    if merge and old is not ABSENT:
        new = merged(old, new)
    check_size(new)
    return Outcome(new, max(1, leaves(value)))


def _unique_scalars(value: list[Any], kinds: set[type]) -> list[Any]:
    """Keep the first of equal values, then the last 500: what Braze keeps of a whole-array set.

    Which end of an over-long set Braze keeps is not documented; "oldest removed first" is.
    """
    if not kinds <= _SCALARS:
        raise DroppedWriteError("array element that is neither string, number nor boolean")
    if kinds == {str}:
        # By far the most common case, and the one that has to be fast.
        kept = list(dict.fromkeys(value))[-ARRAY_MAX_ELEMENTS:]
        longest = max(map(len, kept))
    else:
        kept = list({_identity(item): item for item in value}.values())[-ARRAY_MAX_ELEMENTS:]
        longest = max((len(item) for item in kept if isinstance(item, str)), default=0)
    if longest > STRING_MAX_CHARACTERS:
        raise DroppedWriteError("string over 255 characters")
    # No character takes more than 6 bytes in JSON, so most arrays need not be encoded to be measured.
    if str not in kinds or len(kept) * (6 * longest + 3) > OBJECT_MAX_BYTES:
        check_size(kept)
    return kept


def _identity(item: Any) -> tuple[type, Any]:
    """Keep 1, 1.0 and true apart, which Python's own equality does not."""
    return type(item), item


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
