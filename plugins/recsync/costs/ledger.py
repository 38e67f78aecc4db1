"""One month of a program's ledger: what was used, each thing once, and what runs expect to use."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from recsync.costs.charges import Charge, Kind

# What has not been booked by then never will: nothing that is waited for takes longer, retries included.
EXPECTED_FOR = timedelta(hours=48)
_EXPECTED = "expected/"
_SUFFIX = re.compile(r"-\d{1,2}$")


@dataclass(frozen=True)
class Entry:
    """One use.

    :param at: ISO 8601 time at which the resource was created; it decides the month.
    :param name: of the job, solution version or delivery.
    :param of: what it belongs to: the ARN of a dataset, a solution or a solution version.
    :param recipe: of a training.
    :param mode: ``FULL``, ``UPDATE`` or ``HPO`` of a training, ``FULL`` or ``INCREMENTAL`` of an import.
    :param rows: interactions that a training had; None when unknown.
    :param expected: not used yet; counts until it is booked, or for two days.
    """

    kind: Kind
    quantity: float
    at: str
    name: str = ""
    of: str = ""
    recipe: str = ""
    mode: str = ""
    rows: int | None = None
    note: str = ""
    expected: bool = False

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Entry:
        """Read it back."""
        return cls(**{**document, "kind": Kind(document["kind"])})

    def to_json(self) -> dict[str, Any]:
        """Write it, without what it does not say; a quantity of 0 says something."""
        return {
            key: value
            for key, value in asdict(self).items()
            if not (value is None or value is False or value == "")
        }


@dataclass(frozen=True)
class Month:
    """The entries of one month.

    :param entries: by the ARN of what is billed, the name of a delivery, or what a run expects.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Month:
        """Read it back; None is a month without entries."""
        entries = {} if document is None else document["entries"]
        return cls({key: Entry.from_json(entry) for key, entry in entries.items()})

    def to_json(self) -> dict[str, Any]:
        """Write it."""
        return {"entries": {key: entry.to_json() for key, entry in sorted(self.entries.items())}}

    def booked(self, key: str, entry: Entry) -> Month:
        """Add one use; one that is there already does not shrink, and grows if its use went on.

        The expectation of the same name goes.
        """
        former = self.entries.get(key)
        if former and former.quantity > entry.quantity:
            entry = former
        name = first_name(entry.name)
        rest = {
            k: e for k, e in self.entries.items() if not (e.expected and name and first_name(e.name) == name)
        }
        return Month({**rest, key: entry})

    def expecting(self, run: str, charges: Sequence[Charge], now: datetime) -> Month:
        """Note what a run is going to use, in the place of what it said before."""
        expected = {
            f"{_EXPECTED}{run}/{charge.what}": Entry(
                charge.kind, charge.quantity, now.isoformat(), name=charge.job, expected=True
            )
            for charge in charges
        }
        return Month({**self.without_stale(now).without(run, charges).entries, **expected})

    def without(self, run: str, charges: Iterable[Charge]) -> Month:
        """Leave out what a run expects of the same things, and what is expected under the same names."""
        asked = list(charges)
        keys = {f"{_EXPECTED}{run}/{charge.what}" for charge in asked}
        jobs = {charge.job for charge in asked if charge.job}
        return Month(
            {
                key: entry
                for key, entry in self.entries.items()
                if key not in keys and not (entry.expected and entry.name in jobs)
            }
        )

    def without_stale(self, now: datetime) -> Month:
        """Leave out expectations of runs that must be over."""
        return Month(
            {
                key: entry
                for key, entry in self.entries.items()
                if not entry.expected or now - datetime.fromisoformat(entry.at) < EXPECTED_FOR
            }
        )

    def without_expected(self) -> Month:
        """Leave out everything that was not used yet."""
        return Month({key: entry for key, entry in self.entries.items() if not entry.expected})

    def knows(self, job: str) -> bool:
        """Tell whether a job of this name, or a later try of it, is booked."""
        return bool(job) and any(
            not entry.expected and first_name(entry.name) == first_name(job)
            for entry in self.entries.values()
        )

    def used(self) -> dict[Kind, float]:
        """Sum up the quantities."""
        sums: defaultdict[Kind, float] = defaultdict(float)
        for entry in self.entries.values():
            sums[entry.kind] += entry.quantity
        return dict(sums)


def first_name(name: str) -> str:
    """Give the name of a job's first try; the next ones end in ``-2``, ``-3``…"""
    return _SUFFIX.sub("", name)


def month_of(moment: datetime) -> str:
    """Name the month of a moment."""
    return f"{moment:%Y-%m}"
