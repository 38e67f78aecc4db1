"""Objects that live and die together: an exported interval, a snapshot, the folder of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from recsync.program.intervals import parse_key

EXPORTS = "exports"
FULL = "full"
IMPORTS = "imports"
BATCH = "batch"
RECOMMENDATIONS = "recommendations"
DELIVERIES = "deliveries"
REPORTS = "maintenance"
RUN_ROOMS = frozenset({FULL, IMPORTS, BATCH, RECOMMENDATIONS, DELIVERIES, REPORTS})
# State is what everything else is judged by; none of it is ever removed here.
STATE = "state"
# What publishes a folder, by its name in it.
_MANIFESTS = {FULL: "manifest.json", RECOMMENDATIONS: "manifest.json", DELIVERIES: "plan.json"}


@dataclass(frozen=True)
class Stored:
    """One object of a listing."""

    key: str
    size_bytes: int
    modified: datetime
    etag: str = ""


class Name(NamedTuple):
    """Which unit an object belongs to.

    :param room: first folder below the program's, e.g. ``exports``.
    :param unit: name of the interval, the run or the delivery.
    """

    room: str
    unit: str


@dataclass(frozen=True)
class Unit:
    """Objects of one unit.

    :param manifests: publish the others, so they are the first to go: nothing half-deleted is ever read.
    """

    name: Name
    manifests: tuple[Stored, ...]
    others: tuple[Stored, ...]

    @property
    def objects(self) -> tuple[Stored, ...]:
        """All of them, in the order of their removal."""
        return self.manifests + self.others

    @property
    def size_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(stored.size_bytes for stored in self.objects)

    @property
    def modified(self) -> datetime:
        """When the last of them was written."""
        return max(stored.modified for stored in self.objects)


def name_of(key: str) -> Name | None:
    """Tell the unit of a key, or of a folder that ends with a slash; None for a key that is no unit's.

    :param key: whole, with the program's folder.
    """
    _, room, *rest = f"{key}//".split("/")
    if room == EXPORTS:
        interval = next((word for part in rest if (word := _interval(part))), None)
        return Name(room, interval) if interval else None
    return Name(room, rest[0].removesuffix(".json")) if room in RUN_ROOMS and rest[0] else None


def is_state(key: str) -> bool:
    """Tell whether a key is one of the program's state."""
    return key.split("/")[1:2] == [STATE]


def gather(listing: Iterable[Stored]) -> tuple[list[Unit], list[Stored]]:
    """Sort a program's objects into units.

    :returns: the units, and objects that nothing of recsync writes there; state is in neither.
    """
    found: dict[Name, list[Stored]] = {}
    strangers: list[Stored] = []
    for stored in listing:
        if name := name_of(stored.key):
            found.setdefault(name, []).append(stored)
        elif not is_state(stored.key):
            strangers.append(stored)
    return [_unit(name, objects) for name, objects in sorted(found.items())], strangers


def _unit(name: Name, objects: list[Stored]) -> Unit:
    manifests = tuple(stored for stored in objects if _publishes(name, stored.key))
    return Unit(name, manifests, tuple(stored for stored in objects if stored not in manifests))


def _publishes(name: Name, key: str) -> bool:
    if name.room == EXPORTS:
        return key.split("/")[2] == "manifests"
    return key.split("/")[3:] == [_MANIFESTS.get(name.room)]


def _interval(part: str) -> str | None:
    # A file's name ends with its kind; a warehouse unloads into a folder named like the interval.
    word = part.split(".", 1)[0]
    try:
        parse_key(word)
    except ValueError:
        return None
    return word
