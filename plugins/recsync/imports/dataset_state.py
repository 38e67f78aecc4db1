"""What the datasets of a program have been given: one document, changed by returning a new value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from recsync.cron import Cron
from recsync.export.manifest import Manifest
from recsync.imports.plans import FullPlan, PendingImports, Plan, Taken
from recsync.program import DatasetType
from recsync.program.intervals import ticks_before

_EVENTS = DatasetType.INTERACTIONS


@dataclass(frozen=True)
class LastFull:
    """The last FULL import of one dataset.

    :param until: end of the snapshot's data.
    :param digest: of the last imported object: the snapshot, or an interval's object after it.
    :param job: name of the FULL import job; empty when unknown.
    :param alone: nothing was imported after it.
    :param snapshot: object or, with a slash at the end, folder that was imported; empty when unknown.
    :param etag: of that object.
    """

    until: datetime
    digest: str = ""
    job: str = ""
    alone: bool = False
    snapshot: str = ""
    etag: str = ""


@dataclass(frozen=True)
class Late:
    """How long an interval may still change: an export also reads the ``intervals`` before its own.

    :param cron: cuts time into export intervals.
    """

    cron: Cron
    intervals: int

    def opens(self, until: datetime) -> datetime:
        """Return the moment after which an interval must end to be compared with a FULL import that ended then."""
        return ticks_before(until, self.cron, self.intervals)


@dataclass(frozen=True)
class DatasetState:
    """What all datasets of a program have been given.

    :param full: the last FULL import of each dataset.
    :param intervals: interval key -> dataset -> digest of an object of which every row is imported.
    :param objects: interval key -> import objects with its interactions, since the last FULL.
    :param full_run: run key of the last FULL import; empty when unknown.
    :param update_run: run key of the last INCREMENTAL import since then; empty without one.
    """

    full: Mapping[DatasetType, LastFull] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    objects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pending_imports: PendingImports | None = None
    full_run: str = ""
    update_run: str = ""

    @property
    def snapshot(self) -> str | None:
        """The object with the interactions of the last FULL import; None when it is a folder or unknown."""
        last = self.full[_EVENTS].snapshot
        return last if last and not last.endswith("/") else None

    def in_full(self, manifest: Manifest) -> bool:
        """Return whether an interval began before the end of the last FULL import of interactions."""
        return manifest.interval.start < self.full[_EVENTS].until

    def pending_intervals(
        self, kind: DatasetType, manifests: Iterable[Manifest], late: Late
    ) -> list[Manifest]:
        """Return the intervals, oldest first, of which one dataset may lack rows.

        Of the intervals before the end of the last FULL import, the next FULL takes those older than the overlap, and
        those without a record of their rows in that import.
        """
        if kind not in self.full:
            return []
        until = self.full[kind].until
        opens = late.opens(until)
        # Interactions need something to compare rows with; users and items are replaced by their ids.
        comparable = kind is not _EVENTS or self.snapshot is not None
        found = [
            manifest
            for manifest in manifests
            if manifest.interval.end > opens
            and self._is_new(kind, manifest)
            and (manifest.interval.start >= until or comparable or self.objects.get(manifest.interval.key))
        ]
        return sorted(found, key=lambda manifest: manifest.interval)

    def _is_new(self, kind: DatasetType, manifest: Manifest) -> bool:
        exported = manifest.objects.get(kind)
        known = self.intervals.get(manifest.interval.key, {}).get(kind.value)
        return exported is not None and exported.rows > 0 and exported.digest != known

    def matches(self, kind: DatasetType, digest: str) -> bool:
        """Return whether a FULL import of these bytes would change nothing."""
        last = self.full.get(kind)
        return last is not None and last.alone and last.digest == digest

    def version(self, kind: DatasetType) -> str:
        """Return a text that every import of one dataset changes."""
        last = self.full.get(kind)
        return f"{last.until.isoformat()} {last.digest} {last.job} {last.alone}" if last else ""

    def has_imported(self, plan: Plan) -> bool:
        """Return whether every import of a plan is marked as done."""
        if isinstance(plan, FullPlan):
            return all(kind in self.full and self.full[kind].until == plan.until for kind in plan.keys)
        return all(
            self.intervals.get(each.interval, {}).get(kind) == each.digest
            for kind, taken in plan.taken.items()
            for each in taken
        )

    def after_import(self, pending: PendingImports, kind: DatasetType) -> DatasetState:
        """Return the state after the pending import of one dataset."""
        plan = pending.plan
        if not isinstance(plan, FullPlan):
            return self.after_increment(kind, plan.taken[kind])
        # A dataset that had this snapshot already keeps the job that imported it.
        former = self.full.get(kind)
        job = pending.jobs[kind].name if kind in pending.jobs else former.job if former else ""
        last = LastFull(plan.until, job=job, alone=True, **asdict(pending.full[kind]))
        return self.after_full(kind, last, known=plan.known.get(kind, {}), objects=pending.objects)

    def after_plan(self, plan: Plan) -> DatasetState:
        """Return the state after all imports of a plan."""
        if isinstance(plan, FullPlan):
            return replace(self, full_run=plan.run, update_run="")
        return replace(self, update_run=plan.run)

    def after_full(
        self,
        kind: DatasetType,
        last: LastFull,
        *,
        known: Mapping[str, str],
        objects: Mapping[str, tuple[str, ...]],
    ) -> DatasetState:
        """Return the state after a FULL import of one dataset, which replaces all earlier imports.

        :param known: interval key -> digest of objects published before the snapshot was taken, so that it has their
            rows.
        :param objects: interval key -> object in the imported folder.
        """
        intervals = {
            key: {name: digest for name, digest in digests.items() if name != kind.value}
            for key, digests in self.intervals.items()
        }
        emptied = replace(
            self,
            full={**self.full, kind: last},
            intervals={key: digests for key, digests in intervals.items() if digests},
            objects=dict(objects) if kind is _EVENTS else self.objects,
        )
        return emptied.with_known(kind, known)

    def after_increment(self, kind: DatasetType, taken: Iterable[Taken]) -> DatasetState:
        """Return the state after an INCREMENTAL import of one dataset, oldest interval first; idempotent."""
        pieces = list(taken)
        if not pieces or kind not in self.full:
            return self
        objects = dict(self.objects)
        if kind is _EVENTS:
            for piece in pieces:
                objects[piece.interval] = tuple(dict.fromkeys([*objects.get(piece.interval, ()), piece.key]))
        last = replace(self.full[kind], digest=pieces[-1].digest, alone=False)
        known = self.with_known(kind, {piece.interval: piece.digest for piece in pieces})
        return replace(known, full={**self.full, kind: last}, objects=objects)

    def with_known(self, kind: DatasetType, digests: Mapping[str, str]) -> DatasetState:
        """Record that every row of these objects is imported (interval key -> digest)."""
        intervals = dict(self.intervals)
        for key, digest in digests.items():
            intervals[key] = {**intervals.get(key, {}), kind.value: digest}
        return replace(self, intervals=intervals)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            "datasets": {
                kind.value: {**asdict(last), "until": last.until.isoformat()}
                for kind, last in self.full.items()
            },
            "intervals": {key: dict(digests) for key, digests in self.intervals.items()},
            "objects": {key: list(keys) for key, keys in self.objects.items()},
            "unfinished": self.pending_imports.to_json() if self.pending_imports else None,
            "full_run": self.full_run,
            "update_run": self.update_run,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back; the former format has one end for all datasets and no objects."""
        if "datasets" not in document:
            until = datetime.fromisoformat(document["full_until"])
            return cls(full={kind: LastFull(until) for kind in DatasetType}, intervals=document["intervals"])
        pending = document["unfinished"]
        return cls(
            full={
                DatasetType(kind): LastFull(**{**last, "until": datetime.fromisoformat(last["until"])})
                for kind, last in document["datasets"].items()
            },
            intervals=document["intervals"],
            objects={key: tuple(keys) for key, keys in document["objects"].items()},
            pending_imports=PendingImports.from_json(pending) if pending else None,
            full_run=document.get("full_run", ""),
            update_run=document.get("update_run", ""),
        )
