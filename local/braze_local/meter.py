"""Meter requests, bytes, objects and data points, for a report a client's tests can assert on."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from braze_local.tally import Tally


class Meter:
    """Count what was requested and what applied writes cost; shared by the server and the writer thread."""

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
        """Count one request; `path` is its route's template, `outcome` its status or the fault's kind."""
        with self._lock:
            self._requests.setdefault(path, Counter())[outcome] += 1
            self._objects[path] += objects
            self._bytes[path] += received_bytes
            self.dirty = True

    def add(self, tally: Tally) -> None:
        """Add what a transaction's writes cost."""
        with self._lock:
            self._tally.add(tally)
            if self.count_writes:
                self._writes.update(tally.users)
            for user in tally.deleted:
                self._writes.pop(user, None)

    def count_reordered(self) -> None:
        """Count one request that is applied late so that others may overtake it."""
        with self._lock:
            self._reordered += 1

    def writes(self, least: int = 1) -> dict[str, int]:
        """Return how often each user was written, leaving out who was written less than `least` times."""
        with self._lock:
            return {user: times for user, times in self._writes.items() if times >= least}

    def write_totals(self) -> dict[str, int]:
        """Return how many users were written, how often in all, and how many of them more than once."""
        with self._lock:
            times = self._writes.values()
            return {"users": len(times), "writes": sum(times), "repeated": sum(n > 1 for n in times)}

    def reset_writes(self) -> None:
        """Forget who was written."""
        with self._lock:
            self._writes = Counter()

    def reset(self) -> None:
        """Set every counter to zero."""
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
        """Go on from what `report` returned."""
        with self._lock:
            self._requests = {path: Counter(outcomes) for path, outcomes in report["requests"].items()}
            self._objects = Counter(report["objects"])
            self._bytes = Counter(report["bytes"])
            self._reordered = report.get("reordered_requests", 0)
            self._tally = Tally.from_report(report)
