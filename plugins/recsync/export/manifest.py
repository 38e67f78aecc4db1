"""Published objects of an export, one per dataset, and their manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from recsync.program import DatasetType
from recsync.program.intervals import Interval


@dataclass(frozen=True)
class ExportedObject:
    """One CSV object, or a folder of objects when its key ends with a slash.

    :param digest: of the rows; their order counts only for exports without checks.
    :param etag: S3's; empty for a folder.
    :param quarantined: number of rows that the checks rejected.
    """

    key: str
    rows: int
    size_bytes: int
    digest: str
    etag: str
    quarantined: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of objects, each verified when it was copied there."""
        return self.key.endswith("/")

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back from a manifest or an XCom."""
        return cls(**document)


@dataclass(frozen=True)
class Manifest:
    """The published objects of one interval, one per dataset."""

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
