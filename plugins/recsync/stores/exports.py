"""Published exports: an interval or a full snapshot exists once its manifest does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from recsync.core.intervals import Interval, parse_key
from recsync.core.keys import Keys
from recsync.core.program import DatasetType
from recsync.errors import FatalError, RetriableError
from recsync.stores.bucket import Bucket


@dataclass(frozen=True)
class ExportedObject:
    """One CSV object.

    :param digest: of its bytes; equal digests mean equal rows in equal order.
    """

    key: str
    rows: int
    size_bytes: int
    digest: str
    etag: str

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back from a manifest or an XCom."""
        return cls(**document)


@dataclass(frozen=True)
class Manifest:
    """What one export run published: an object per dataset."""

    interval: Interval
    objects: dict[DatasetType, ExportedObject]

    def to_json(self) -> dict[str, Any]:
        """Write it as a JSON document."""
        return {
            "start": self.interval.start.isoformat(),
            "end": self.interval.end.isoformat(),
            "objects": {kind.value: asdict(exported) for kind, exported in self.objects.items()},
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back."""
        interval = Interval(
            datetime.fromisoformat(document["start"]), datetime.fromisoformat(document["end"])
        )
        objects = {DatasetType(k): ExportedObject.from_json(v) for k, v in document["objects"].items()}
        return cls(interval, objects)


@dataclass(frozen=True)
class Exports:
    """The exports of one program."""

    bucket: Bucket
    keys: Keys

    def publish_interval(self, manifest: Manifest) -> None:
        """Make an interval visible to imports."""
        self.bucket.put_json(self.keys.export_manifest(manifest.interval.key), manifest.to_json())

    def publish_full(self, run: str, manifest: Manifest) -> None:
        """Make a snapshot visible."""
        self.bucket.put_json(self.keys.full_manifest(run), manifest.to_json())

    def full(self, run: str) -> Manifest:
        """Read the published snapshot of one run.

        :raises RetriableError: when an object is not the one its manifest names.
        """
        document = self.bucket.get_json(self.keys.full_manifest(run))
        if document is None:
            raise FatalError(f"Run {run} published no snapshot; start a new {self.keys.program}_train_full.")
        manifest = Manifest.from_json(document)
        self._verify(manifest)
        return manifest

    def intervals_since(self, start: datetime) -> list[Manifest]:
        """Read the published intervals that begin at ``start`` or later, oldest first.

        :raises RetriableError: when an object is not the one its manifest names, because a rerun of the export is
            writing it at this moment or died before it published.
        """
        prefix = self.keys.export_manifests
        keys = [
            k for k in self.bucket.keys(prefix) if parse_key(k.removeprefix(prefix)[: -len(".json")]) >= start
        ]
        manifests = [Manifest.from_json(self.bucket.get_json(key)) for key in keys]
        for manifest in manifests:
            self._verify(manifest)
        return manifests

    def _verify(self, manifest: Manifest) -> None:
        for exported in manifest.objects.values():
            if self.bucket.etag(exported.key) != exported.etag:
                raise RetriableError(
                    f"{self.bucket.uri(exported.key)} is not the object that its manifest publishes: an export of "
                    f"{manifest.interval.key} is under way or died half-way. Run that export again unless it runs."
                )
