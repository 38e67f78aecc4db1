"""Hold what faults do to single objects of a call that is otherwise served. Pure.

Objects are named by place: the array they came in and their index there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Place = tuple[str, int]
# Arrays of the bodies this server takes; the last one is that of catalog items.
_ARRAYS = ("attributes", "events", "purchases", "items")


class Placed(NamedTuple):
    """Say where an object stands and whom it is about: an external_id, an item id, or None."""

    place: Place
    identity: str | None


@dataclass(slots=True)
class Distortion:
    """Collect what the faults of one call do to its objects.

    `rejected` are reported with their place and not applied. `unapplied` are taken as valid and never
    applied. `more` are further error entries: without a place, with a wrong one, or for an object that is named once
    more or was processed. `hidden` is how many fewer objects each array is said to have had.
    """

    rejected: dict[Place, str] = field(default_factory=dict)
    unapplied: set[Place] = field(default_factory=set)
    more: list[dict[str, Any]] = field(default_factory=list)
    hidden: Counter[str] = field(default_factory=Counter)


def placed_objects(body: Any) -> list[Placed]:
    """Return every object of a body, in order."""
    if not isinstance(body, dict):
        return []
    return [
        Placed((name, index), _identity(candidate))
        for name in _ARRAYS
        if isinstance(body.get(name), list)
        for index, candidate in enumerate(body[name])
    ]


def _identity(candidate: Any) -> str | None:
    if not isinstance(candidate, dict):
        return None
    identity = candidate.get("external_id", candidate.get("id"))
    return identity if isinstance(identity, str) else None
