"""Count what applied writes cost, per attribute. Pure."""

from __future__ import annotations

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
    # Whom attributes objects were applied to, in order; the meter counts them and this is not added up.
    users: list[str] = field(default_factory=list)
    # Whose profiles were deleted; not added up either.
    deleted: list[str] = field(default_factory=list)

    def wrote(self, name: str, points: int, same: bool) -> None:
        """Count one attribute write."""
        self.writes[name] += 1
        self.points[name] += points
        if same:
            self.unchanged[name] += 1

    def dropped(self, name: str, reason: str) -> None:
        """Count one write that Braze would ignore after a clean 201."""
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
        """Return the figures as JSON: totals, then each attribute."""
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
        """Read back what `report` wrote."""
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
