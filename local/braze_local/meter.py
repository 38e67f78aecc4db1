"""Count requests, bytes, objects and data points, in a report that tests of a client can assert on."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """Add up writes, data points, unchanged writes and silent drops; catalog writes cost no points.

    A dropped write costs no data point here; what Braze bills for one is not documented.
    """

    writes: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    drops: dict[str, Counter[str]] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    purchases: int = 0
    missing_users: int = 0
    # The external_id, else the braze_id, of each applied attributes object. `add` leaves this and `deleted` out.
    users: list[str] = field(default_factory=list)
    # The keys of all identifiers of deleted profiles.
    deleted: list[str] = field(default_factory=list)

    def wrote(self, name: str, points: int, same: bool) -> None:
        """Count one attribute write."""
        self.writes[name] += 1
        self.points[name] += points
        if same:
            self.unchanged[name] += 1

    def dropped(self, name: str, reason: str) -> None:
        """Count one write that Braze would ignore although it answers 201."""
        self.drops.setdefault(name, Counter())[reason] += 1

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.writes.update(other.writes)
        self.points.update(other.points)
        self.unchanged.update(other.unchanged)
        self.events.update(other.events)
        self.purchases += other.purchases
        self.missing_users += other.missing_users
        for name, reasons in other.drops.items():
            self.drops.setdefault(name, Counter()).update(reasons)

    def report(self) -> dict[str, Any]:
        """Return the counters as JSON: totals, then each attribute."""
        events = sum(self.events.values())
        return {
            "data_points": {
                "total": sum(self.points.values()) + events + self.purchases,
                "attributes": dict(self.points),
                "events": dict(self.events),
                "purchases": self.purchases,
            },
            "attribute_writes": {"total": sum(self.writes.values()), "attributes": dict(self.writes)},
            "unchanged_writes": {"total": sum(self.unchanged.values()), "attributes": dict(self.unchanged)},
            "dropped_writes": {
                "total": sum(sum(reasons.values()) for reasons in self.drops.values()),
                "attributes": {name: dict(reasons) for name, reasons in self.drops.items()},
            },
            "missing_users": self.missing_users,
            "attributes": {name: self._attribute(name) for name in sorted({*self.writes, *self.drops})},
        }

    def _attribute(self, name: str) -> dict[str, int]:
        return {
            "writes": self.writes[name],
            "points": self.points[name],
            "unchanged": self.unchanged[name],
            "dropped": sum(self.drops.get(name, {}).values()),
        }

    @classmethod
    def from_report(cls, report: dict[str, Any]) -> Tally:
        """Restore a tally from its `report`."""
        dropped = report["dropped_writes"]["attributes"]
        return cls(
            writes=Counter(report["attribute_writes"]["attributes"]),
            points=Counter(report["data_points"]["attributes"]),
            unchanged=Counter(report["unchanged_writes"]["attributes"]),
            drops={name: Counter(reasons) for name, reasons in dropped.items()},
            events=Counter(report["data_points"]["events"]),
            purchases=report["data_points"]["purchases"],
            missing_users=report["missing_users"],
        )


class Meter:
    """Count requests and the cost of applied writes; shared by the server and the writer thread."""

    def __init__(self, *, count_writes: bool = True) -> None:
        self.count_writes = count_writes
        self._lock = threading.Lock()
        self.dirty = False
        self._requests: dict[str, Counter[str]] = {}
        self._objects: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._tally = Tally()
        self._reordered = 0
        # Kept in memory only: how often each user's attributes were written since the start or a reset.
        self._writes: Counter[str] = Counter()

    def count_request(self, path: str, outcome: str, objects: int, received_bytes: int) -> None:
        """Count one request by its route's template and its outcome (the status or the fault's kind)."""
        with self._lock:
            self._requests.setdefault(path, Counter())[outcome] += 1
            self._objects[path] += objects
            self._bytes[path] += received_bytes
            self.dirty = True

    def add(self, tally: Tally) -> None:
        """Add the costs of one transaction."""
        with self._lock:
            self._tally.add(tally)
            if self.count_writes:
                self._writes.update(tally.users)
            for key in tally.deleted:
                self._writes.pop(key.rpartition("\0")[2], None)

    def count_reordered(self) -> None:
        """Count one request that is applied late, so that later ones may overtake it."""
        with self._lock:
            self._reordered += 1

    def writes(self, least: int = 1) -> dict[str, int]:
        """Return the number of writes per user, for users with at least `least`."""
        with self._lock:
            return {user: times for user, times in self._writes.items() if times >= least}

    def write_totals(self) -> dict[str, int]:
        """Return the numbers of written users, of writes, and of users written more than once."""
        with self._lock:
            times = self._writes.values()
            return {"users": len(times), "writes": sum(times), "repeated": sum(n > 1 for n in times)}

    def reset_writes(self) -> None:
        """Reset the writes per user."""
        with self._lock:
            self._writes = Counter()

    def reset(self) -> None:
        """Reset every counter."""
        with self._lock:
            self._requests, self._objects, self._bytes = {}, Counter(), Counter()
            self._tally = Tally()
            self._reordered, self._writes = 0, Counter()
            self.dirty = True

    def report(self) -> dict[str, Any]:
        """Return every counter as JSON."""
        with self._lock:
            return {
                "requests": {path: dict(outcomes) for path, outcomes in self._requests.items()},
                "objects": dict(self._objects),
                "bytes": dict(self._bytes),
                "reordered_requests": self._reordered,
                **self._tally.report(),
            }

    def load(self, report: dict[str, Any]) -> None:
        """Restore the counters from a `report`."""
        with self._lock:
            self._requests = {path: Counter(outcomes) for path, outcomes in report["requests"].items()}
            self._objects = Counter(report["objects"])
            self._bytes = Counter(report["bytes"])
            self._reordered = report.get("reordered_requests", 0)
            self._tally = Tally.from_report(report)
