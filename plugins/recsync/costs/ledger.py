"""The cost ledger: one JSON document a month per program."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from recsync.costs.prices import Charge, UsageKind
from recsync.storage.bucket import Bucket
from recsync.storage.document import Document
from recsync.storage.keys import Keys

# Longer than anything that runs wait for, retries included: an older estimate will never be replaced by usage.
_ESTIMATE_VALID_FOR = timedelta(hours=48)
_EXPECTED = "expected/"
_SUFFIX = re.compile(r"-\d{1,2}$")


@dataclass(frozen=True)
class UsageEntry:
    """One use.

    :param at: ISO 8601 time at which the resource was created; it decides the month.
    :param name: of the job, solution version or delivery.
    :param of: what it belongs to: the ARN of a dataset, a solution or a solution version.
    :param recipe: of a training.
    :param mode: ``FULL``, ``UPDATE`` or ``HPO`` of a training, ``FULL`` or ``INCREMENTAL`` of an import,
        ``STREAM`` of streamed rows.
    :param rows: interactions that a training had, or streamed rows; None when unknown.
    :param expected: an estimate; counts until the usage is recorded, or for two days.
    """

    kind: UsageKind
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
    def from_json(cls, document: Mapping[str, Any]) -> UsageEntry:
        """Read it back."""
        return cls(**{**document, "kind": UsageKind(document["kind"])})

    def to_json(self) -> dict[str, Any]:
        """Return the members that are set; a quantity of 0 is."""
        return {k: v for k, v in asdict(self).items() if not (v is None or v is False or v == "")}


@dataclass(frozen=True)
class Month:
    """The entries of one month.

    :param entries: by the ARN of a billed resource, the name of a delivery, or the key of an estimate.
    """

    entries: Mapping[str, UsageEntry] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Month:
        """Read it back; None is a month without entries."""
        entries = {} if document is None else document["entries"]
        return cls({key: UsageEntry.from_json(entry) for key, entry in entries.items()})

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {"entries": {key: entry.to_json() for key, entry in sorted(self.entries.items())}}

    def with_usage(self, key: str, entry: UsageEntry) -> Month:
        """Record one use in place of the estimate of the same name; a recorded quantity may grow, not shrink."""
        former = self.entries.get(key)
        if former and former.quantity > entry.quantity:
            entry = former
        name = first_name(entry.name)
        rest = self._filtered(lambda _, e: not (e.expected and name and first_name(e.name) == name))
        return Month({**rest.entries, key: entry})

    def with_estimate(self, run: str, charges: Sequence[Charge], now: datetime) -> Month:
        """Replace the estimate of a run."""
        expected = {
            f"{_EXPECTED}{run}/{charge.what}": UsageEntry(
                charge.kind, charge.quantity, now.isoformat(), name=charge.job, expected=True
            )
            for charge in charges
        }
        return Month({**self.without_stale_estimates(now).without_estimate(run, charges).entries, **expected})

    def without_estimate(self, run: str, charges: Iterable[Charge]) -> Month:
        """Drop the run's estimates of these charges, and every estimate of the same jobs."""
        charges = list(charges)
        keys = {f"{_EXPECTED}{run}/{charge.what}" for charge in charges}
        jobs = {charge.job for charge in charges if charge.job}
        return self._filtered(lambda key, e: key not in keys and not (e.expected and e.name in jobs))

    def without_stale_estimates(self, now: datetime) -> Month:
        """Drop estimates of runs that must be over."""
        return self._filtered(
            lambda _, e: not e.expected or now - datetime.fromisoformat(e.at) < _ESTIMATE_VALID_FOR
        )

    def recorded(self) -> Month:
        """Drop all estimates."""
        return self._filtered(lambda _, entry: not entry.expected)

    def has_recorded(self, job: str) -> bool:
        """Return whether usage of a job of this name, or of a later try of it, is recorded."""
        name = first_name(job)
        return bool(job) and any(not e.expected and first_name(e.name) == name for e in self.entries.values())

    def used(self) -> dict[UsageKind, float]:
        """Sum up the quantities by kind."""
        sums: defaultdict[UsageKind, float] = defaultdict(float)
        for entry in self.entries.values():
            sums[entry.kind] += entry.quantity
        return dict(sums)

    def _filtered(self, keep: Callable[[str, UsageEntry], bool]) -> Month:
        return Month({key: entry for key, entry in self.entries.items() if keep(key, entry)})


def first_name(name: str) -> str:
    """Return the name of a job's first try; later tries end in ``-2``, ``-3``…"""
    return _SUFFIX.sub("", name)


def month_of(moment: datetime) -> str:
    """Return the name of a month, ``YYYY-MM``."""
    return f"{moment:%Y-%m}"


@dataclass(frozen=True)
class CostLedger:
    """What one program used, by month."""

    bucket: Bucket
    keys: Keys

    def months(self) -> list[str]:
        """List the months that have a document, oldest first."""
        prefix = self.keys.money("").removesuffix(".json")
        return [key.removeprefix(prefix).removesuffix(".json") for key in self.bucket.keys(prefix)]

    def read(self, month: str) -> Month:
        """Read one month; empty when nothing was used."""
        return self._document(month).get()

    def change(self, month: str, change: Callable[[Month], Month]) -> Month:
        """Change one month; usage that another run records meanwhile is kept.

        :param change: returns the new month for the present one; may be called more than once.
        """
        return self._document(month).update(change)

    def _document(self, month: str) -> Document[Month]:
        return Document(
            self.bucket,
            self.keys.money(month),
            Month.from_json,
            Month.to_json,
            remedy="restore it, or delete it and run `make costs`, which records again what Amazon Personalize and "
            "the deliveries still show",
        )
