"""What the datasets of a program hold: kept as one document, changed by values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from recsync.export.manifest import Manifest
from recsync.program import DatasetType
from recsync.program.intervals import ticks_before

_EVENTS = DatasetType.INTERACTIONS


@dataclass(frozen=True)
class LastFull:
    """What the last FULL import gave one dataset, and whether anything came after it.

    :param until: everything before it was in the snapshot.
    :param digest: of what was imported last, be it the snapshot or, later, an interval's object.
    :param job: name of the FULL import job; empty when it is not known.
    :param alone: nothing was imported after it.
    :param snapshot: object or, with a slash at the end, folder that it read; empty when it is not known.
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
    """How long an interval may still change: an export reads the ``intervals`` before its own again.

    :param cron: schedule of the exports; None stands for hourly.
    """

    cron: str | None
    intervals: int

    def opens(self, until: datetime) -> datetime:
        """Give the moment after which intervals must end to be looked at, of those before a FULL import's end."""
        return ticks_before(until, self.cron, self.intervals)


@dataclass(frozen=True)
class Taken:
    """What one import takes of one interval.

    :param digest: of the published object; all its rows are held once the import is ACTIVE.
    :param key: the import object that holds the rows.
    """

    interval: str
    digest: str
    key: str


@dataclass(frozen=True)
class Held:
    """What the datasets hold.

    :param full: the last FULL import of each dataset.
    :param intervals: interval key -> dataset -> digest of the object whose rows are all held.
    :param objects: interval key -> import objects, since that FULL, with interactions of the interval.
    :param unfinished: import jobs that were asked for and whose end is not known yet; see pending_imports.py.
    """

    full: Mapping[DatasetType, LastFull] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    objects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unfinished: Mapping[str, Any] | None = None

    @property
    def snapshot(self) -> str | None:
        """The object that holds the interactions of the last FULL import; None when it is a folder or not known."""
        last = self.full[_EVENTS].snapshot
        return last if last and not last.endswith("/") else None

    def lies_in_full(self, manifest: Manifest) -> bool:
        """Say whether an interval began before the end of the last FULL import of interactions."""
        return manifest.interval.start < self.full[_EVENTS].until

    def pending(self, kind: DatasetType, manifests: Iterable[Manifest], late: Late) -> list[Manifest]:
        """Give the intervals, oldest first, of which one dataset may lack rows.

        An interval before the last FULL import's end is left to the next FULL when it is older than the overlap, or
        when what the FULL took of it is not known any more.
        """
        if kind not in self.full:
            return []
        until = self.full[kind].until
        opens = late.opens(until)
        found = [
            manifest
            for manifest in manifests
            if manifest.interval.end > opens
            and self._is_new(kind, manifest)
            and (manifest.interval.start >= until or self._is_known(kind, manifest))
        ]
        return sorted(found, key=lambda manifest: manifest.interval)

    def holds_exactly(self, kind: DatasetType, digest: str) -> bool:
        """Say whether a FULL import of these bytes would change nothing."""
        last = self.full.get(kind)
        return last is not None and last.alone and last.digest == digest

    def standing(self, kind: DatasetType) -> str:
        """Sum up what one dataset was given last; every import that is noted changes it."""
        last = self.full.get(kind)
        return f"{last.until.isoformat()} {last.digest} {last.job} {last.alone}" if last else ""

    def after_full(
        self,
        kind: DatasetType,
        last: LastFull,
        *,
        known: Mapping[str, str],
        objects: Mapping[str, tuple[str, ...]],
    ) -> Held:
        """Note a FULL import of one dataset: what came before it is gone.

        :param known: interval key -> digest of objects that were published before the snapshot was taken, so that
            their rows are in it.
        :param objects: interval key -> object in the folder that was imported.
        """
        intervals = {
            key: {name: digest for name, digest in digests.items() if name != kind.value}
            for key, digests in self.intervals.items()
        }
        for key, digest in known.items():
            intervals[key] = {**intervals.get(key, {}), kind.value: digest}
        return replace(
            self,
            full={**self.full, kind: last},
            intervals={key: digests for key, digests in intervals.items() if digests},
            objects=dict(objects) if kind is _EVENTS else self.objects,
        )

    def after_increment(self, kind: DatasetType, taken: Iterable[Taken]) -> Held:
        """Note an INCREMENTAL import of one dataset, oldest interval first; noting it again changes nothing."""
        pieces = list(taken)
        if not pieces or kind not in self.full:
            return self
        objects = dict(self.objects)
        if kind is _EVENTS:
            for piece in pieces:
                objects[piece.interval] = tuple(dict.fromkeys([*objects.get(piece.interval, ()), piece.key]))
        last = replace(self.full[kind], digest=pieces[-1].digest, alone=False)
        noted = self.nothing_new(kind, {piece.interval: piece.digest for piece in pieces})
        return replace(noted, full={**self.full, kind: last}, objects=objects)

    def nothing_new(self, kind: DatasetType, digests: Mapping[str, str]) -> Held:
        """Note that every row of these objects is held (interval key -> digest)."""
        intervals = dict(self.intervals)
        for key, digest in digests.items():
            intervals[key] = {**intervals.get(key, {}), kind.value: digest}
        return replace(self, intervals=intervals)

    def _is_new(self, kind: DatasetType, manifest: Manifest) -> bool:
        exported = manifest.objects.get(kind)
        known = self.intervals.get(manifest.interval.key, {}).get(kind.value)
        return exported is not None and exported.rows > 0 and exported.digest != known

    def _is_known(self, kind: DatasetType, manifest: Manifest) -> bool:
        """Say whether rows that are held can be told from new ones; users and items are replaced by their ids."""
        if kind is not _EVENTS:
            return True
        return self.snapshot is not None or bool(self.objects.get(manifest.interval.key))

    def to_json(self) -> dict[str, Any]:
        """Write it as a JSON document."""
        return {
            "datasets": {
                kind.value: {**asdict(last), "until": last.until.isoformat()}
                for kind, last in self.full.items()
            },
            "intervals": {key: dict(digests) for key, digests in self.intervals.items()},
            "objects": {key: list(keys) for key, keys in self.objects.items()},
            "unfinished": dict(self.unfinished) if self.unfinished else None,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back; a document of the former format knows one end for all datasets and no objects."""
        if "datasets" not in document:
            until = datetime.fromisoformat(document["full_until"])
            return cls(full={kind: LastFull(until) for kind in DatasetType}, intervals=document["intervals"])
        return cls(
            full={
                DatasetType(kind): LastFull(**{**last, "until": datetime.fromisoformat(last["until"])})
                for kind, last in document["datasets"].items()
            },
            intervals=document["intervals"],
            objects={key: tuple(keys) for key, keys in document["objects"].items()},
            unfinished=document["unfinished"],
        )
