"""What Amazon Personalize has been given: the last FULL's end and the intervals imported since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from recsync.core.keys import Keys
from recsync.core.program import DatasetType
from recsync.stores.bucket import Bucket
from recsync.stores.exports import Manifest

_NAME = "imports.json"


@dataclass(frozen=True)
class Imported:
    """What the datasets hold.

    :param full_until: end of the last FULL imports.
    :param intervals: interval key -> digests by dataset, of every interval imported after that FULL.
    """

    full_until: datetime
    intervals: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def pending(self, manifests: Iterable[Manifest]) -> list[Manifest]:
        """Give the intervals that hold something the datasets do not."""
        return [m for m in manifests if any(self.is_new(m, kind) for kind in m.objects)]

    def is_new(self, manifest: Manifest, kind: DatasetType) -> bool:
        """Say whether one object of an interval has rows that were not imported."""
        exported = manifest.objects[kind]
        known = self.intervals.get(manifest.interval.key, {}).get(kind.value)
        return exported.rows > 0 and known != exported.digest


@dataclass(frozen=True)
class ImportState:
    """The state object of one program."""

    bucket: Bucket
    keys: Keys

    def read(self) -> Imported | None:
        """Read the state; None before the first FULL import."""
        document: dict[str, Any] | None = self.bucket.get_json(self.keys.state(_NAME))
        if document is None:
            return None
        return Imported(datetime.fromisoformat(document["full_until"]), document["intervals"])

    def record_full(self, until: datetime) -> None:
        """Note that FULL imports of everything before ``until`` are ACTIVE."""
        self._write(Imported(until))

    def record_intervals(self, manifests: Iterable[Manifest]) -> None:
        """Note that INCREMENTAL imports of these intervals are ACTIVE."""
        state = self.read()
        if state is None:
            return
        intervals = dict(state.intervals)
        for manifest in manifests:
            intervals[manifest.interval.key] = {k.value: o.digest for k, o in manifest.objects.items()}
        self._write(Imported(state.full_until, intervals))

    def _write(self, state: Imported) -> None:
        document = {"full_until": state.full_until.isoformat(), "intervals": dict(state.intervals)}
        self.bucket.put_json(self.keys.state(_NAME), document)
