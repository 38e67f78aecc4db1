"""Hold the scripted faults, decide which of them hit a request, and count how often each fired."""

from __future__ import annotations

import fnmatch
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from braze_local.distortion import Distortion, Placed
from braze_local.faults import Fault

Objects = Callable[[], list[Placed]]


@dataclass(slots=True)
class Hit:
    """Hold what hits one request: at most one fault of the whole call, any number of its objects."""

    call: Fault | None = None
    distortion: Distortion | None = None
    delay_seconds: float = 0.0


@dataclass(slots=True)
class _Entry:
    fault: Fault
    draws: random.Random
    ids: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = frozenset(self.fault.external_ids) | frozenset(self.fault.item_ids)

    def concerns(self, method: str, path: str, objects: Objects) -> bool:
        fault = self.fault
        if fault.method not in {None, method} or not fnmatch.fnmatchcase(path, fault.path):
            return False
        return not self.ids or any(one.identity in self.ids for one in objects())

    def drawn(self) -> bool:
        """Let a request pass, or draw whether it is hit."""
        fault = self.fault
        if fault.skip:
            fault.skip -= 1
            return False
        return fault.probability >= 1 or self.draws.random() < fault.probability

    def picked(self, objects: list[Placed]) -> list[Placed]:
        """Draw the objects a fault of objects hits."""
        candidates = [one for one in objects if one.identity in self.ids] if self.ids else objects
        share = self.fault.object_probability
        if share is not None:
            return [one for one in candidates if share >= 1 or self.draws.random() < share]
        return candidates if self.ids or not candidates else [self.draws.choice(candidates)]


class Faults:
    """Hold the scripted faults in order.

    A request gets the first fault of the whole call that takes it, those that name ids before the others,
    so that a poison record stays one whatever else is drawn; and every fault of objects that takes it.
    """

    def __init__(self) -> None:
        self._scripted: list[_Entry] = []
        self._calls: Counter[str] = Counter()
        self._objects: Counter[str] = Counter()

    def add(self, fault: Fault) -> None:
        """Put a fault at the end of the queue."""
        # Repeatable draws, not secrets.
        self._scripted.append(_Entry(fault, random.Random(fault.seed)))  # ruff: ignore[suspicious-non-cryptographic-random-usage]

    def clear(self) -> None:
        """Forget every fault, but not how often it fired."""
        self._scripted.clear()

    def listed(self) -> list[Fault]:
        """Return the faults still to come, with what is left of their counts."""
        return [entry.fault for entry in self._scripted]

    def fired(self) -> dict[str, dict[str, int]]:
        """Return by name how many calls each fault has hit, and how many objects."""
        return {name: {"calls": n, "objects": self._objects[name]} for name, n in self._calls.items()}

    def forget_fired(self) -> None:
        """Set the counts to zero."""
        self._calls.clear()
        self._objects.clear()

    def hit(self, method: str, path: str, objects: Objects) -> Hit:
        """Return what hits this request, and count it; `objects` is asked only where a fault needs them."""
        if not self._scripted:
            return Hit()
        taking = [entry for entry in self._scripted if entry.concerns(method, path, objects)]
        calls = [entry for entry in taking if not entry.fault.of_objects]
        call = next((entry for entry in sorted(calls, key=lambda e: not e.ids) if entry.drawn()), None)
        hit = Hit(call.fault if call else None)
        if call:
            self._use(call, 0)
            hit.delay_seconds = call.fault.delay_seconds
        if call is None or call.fault.applies:
            self._distort(hit, [entry for entry in taking if entry.fault.of_objects], objects)
        return hit

    def _distort(self, hit: Hit, entries: list[_Entry], objects: Objects) -> None:
        for entry in entries:
            picked = entry.picked(objects()) if entry.drawn() else []
            if picked:
                hit.distortion = hit.distortion or Distortion()
                entry.fault.distort(picked, len(objects()), hit.distortion)
                self._use(entry, len(picked))

    def _use(self, entry: _Entry, objects: int) -> None:
        fault = entry.fault
        self._calls[fault.counted_as] += 1
        self._objects[fault.counted_as] += objects
        if fault.times is not None:
            fault.times -= 1
            if not fault.times:
                self._scripted.remove(entry)
