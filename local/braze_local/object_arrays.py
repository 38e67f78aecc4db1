"""Apply writes to an array of objects. Pure.

https://www.braze.com/docs/user_guide/data/activation/custom_data/custom_attributes/array_of_objects
"""

from __future__ import annotations

from typing import Any

from braze_local.nested import DroppedWriteError, check_size, checked, leaves, merged

_KEY = "$identifier_key"
_VALUE = "$identifier_value"
_NEW = "$new_object"


def whole(value: list[Any]) -> list[Any]:
    """Return an array of objects set as a whole; no count limit and no uniqueness, but 100 KB in all.

    Raises DroppedWriteError for anything in it that makes Braze drop the update.
    """
    objects = checked(_objects(value))
    check_size(objects)
    return list(objects)


def edited(old: Any, edits: dict[str, Any], *, merge: bool) -> list[Any]:
    """Apply ``$add``, then ``$remove``, then ``$update``, whatever their order in `edits`.

    Without `merge` (``_merge_objects``), ``$update`` overwrites the matched object instead of merging.
    Raises DroppedWriteError when `old` is not an array of objects, an edit is malformed or the result is
    over 100 KB.
    """
    objects: list[Any] = _objects(old) + checked(_objects(edits.get("$add", [])))
    for criterion in _objects(edits.get("$remove", [])):
        objects = [item for item in objects if not _matches(item, criterion)]
    for criterion in _objects(edits.get("$update", [])):
        new = checked(criterion.get(_NEW))
        objects = [_updated(item, new, merge) if _matches(item, criterion) else item for item in objects]
    check_size(objects)
    return objects


def edit_points(edits: dict[str, Any]) -> int:
    """Count data points: one per key added or updated, one per criterion of ``$remove``."""
    added = leaves(edits["$add"]) if edits.get("$add") else 0
    updated = sum(leaves(criterion.get(_NEW)) for criterion in edits.get("$update", []))
    return max(1, added + len(edits.get("$remove", [])) + updated)


def _objects(value: Any) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DroppedWriteError("array that is not made of objects only")
    return value


def _matches(item: dict[str, Any], criterion: dict[str, Any]) -> bool:
    key = criterion.get(_KEY)
    if not isinstance(key, str) or _VALUE not in criterion:
        raise DroppedWriteError("criterion without identifier key or value")
    return key in item and bool(item[key] == criterion[_VALUE])


def _updated(item: dict[str, Any], new: Any, merge: bool) -> Any:
    return merged(item, new) if merge else new
