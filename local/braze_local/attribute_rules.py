"""Hold the blocklist and the locked type of each attribute.

https://www.braze.com/docs/user_guide/data/activation/custom_data/custom_attributes
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from braze_local.attributes import DroppedWriteError
from braze_local.settings import TypeLocking

# The formats that Braze detects as a time.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?([.:]\d{1,6})?( ?(Z|[+-]\d\d:?\d\d))?)?|\d\d/\d\d/\d{4})"
)
_EDITS = [
    ({"inc"}, "number"),
    ({"add", "remove"}, "array"),
    ({"$add", "$remove", "$update"}, "object_array"),
    ({"$time"}, "time"),
]
_TRUE, _FALSE = {"1", "true", "t"}, {"0", "false", "f"}
_ARRAYS = {"array", "object_array"}


class AttributeRules:
    """Decide which writes are dropped after a 201, and coerce the others.

    The first stored value fixes an attribute's type for good: string, number, boolean, time, array, object or
    object_array. Unless `strict`, the two kinds of array may replace each other, since Braze's documentation
    does not forbid it. `dirty` means that some types are not saved yet. `plain_lists` contains the attributes
    that accept any array of strings, as a shortcut.
    """

    def __init__(self) -> None:
        self.types: dict[str, str] = {}
        self.dirty = False
        self.plain_lists: set[str] = set()
        self._locking: TypeLocking = "off"
        self._blocked: frozenset[str] = frozenset()

    def configure(self, locking: TypeLocking, blocked: Iterable[str]) -> None:
        """Apply changed settings; known types stay."""
        self._locking, self._blocked = locking, frozenset(blocked)
        self.plain_lists = set()

    def coerce(self, name: str, value: Any) -> Any:
        """Return the value coerced to the attribute's type; None (removal) is always allowed.

        Raises DroppedWriteError when the attribute is blocklisted or the value cannot be coerced.
        """
        if name in self._blocked:
            raise DroppedWriteError("blocklisted")
        if self._locking == "off" or value is None:
            return value
        held = self.types.get(name)
        if held is None or (type(value) is list and self._list_fits(held, value)):
            return value
        kind = kind_of(value)
        if kind == held or (self._locking == "on" and kind in _ARRAYS and held in _ARRAYS):
            return value
        return _coerced(held, kind, value)

    def record_type(self, name: str, value: Any) -> None:
        """Lock the type of an attribute at its first write."""
        if self._locking != "off" and name not in self.types and value is not None and value != []:
            self.types[name] = kind_of(value)
            self.dirty = True
        if type(value) is list and (self._locking != "strict" or self.types.get(name) == "array"):
            self.plain_lists.add(name)

    def _list_fits(self, held: str, value: list[Any]) -> bool:
        return held in _ARRAYS and (self._locking == "on" or not value)


def kind_of(value: Any) -> str:
    """Return the type that Braze detects for a value; for an edit, the type of the edited value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "time" if _TIME.fullmatch(value) else "string"
    if isinstance(value, list):
        return "object_array" if any(isinstance(item, dict) for item in value) else "array"
    return next((kind for keys, kind in _EDITS if value and value.keys() <= keys), "object")


def _coerced(held: str, kind: str, value: Any) -> Any:
    text = value.lower() if isinstance(value, str) else str(value) if kind == "number" else None
    if held == "string" and kind in {"number", "time"} and not isinstance(value, dict):
        return value if isinstance(value, str) else str(value)
    if held == "boolean" and text in _TRUE | _FALSE:
        return text in _TRUE
    if held == "number" and isinstance(value, str):
        try:
            return msgspec.json.decode(value, type=int | float)
        except ValueError:
            pass
    raise DroppedWriteError(f"{kind} for an attribute of type {held}")
