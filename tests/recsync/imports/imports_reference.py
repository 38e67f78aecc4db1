"""A warehouse, its exports and a dataset, all in memory: what must hold is said in rows, not in digests."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from recsync.cron import Cron
from recsync.export.manifest import ExportedObject, Manifest
from recsync.imports.dataset_state import DatasetState, LastFull, Late
from recsync.imports.new_rows import Choice, new_interactions, up_to_limit
from recsync.imports.plans import Taken
from recsync.program import DatasetType
from recsync.program.intervals import Interval

EVENTS = DatasetType.INTERACTIONS
START = datetime(2026, 11, 22, tzinfo=UTC)
HEADER = b"USER_ID,ITEM_ID,TIMESTAMP"


def hour(number: int) -> Interval:
    """Give one hour of the day."""
    return Interval(START + timedelta(hours=number), START + timedelta(hours=number + 1))


def manifest(interval: Interval, key: str, content: bytes, kind: DatasetType = EVENTS) -> Manifest:
    """Publish a content."""
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    exported = ExportedObject(key, content.count(b"\n") - 1, len(content), digest, digest)
    return Manifest(interval, {kind: exported})


@dataclass
class World:
    """Everything outside of the planning.

    :param rows: of the warehouse, by hour.
    :param published: manifests by hour.
    :param dataset: what the service holds.
    """

    overlap: int = 2
    folder_imports: bool = False
    rows: dict[int, list[bytes]] = field(default_factory=dict)
    bucket: dict[str, bytes] = field(default_factory=dict)
    published: dict[int, Manifest] = field(default_factory=dict)
    dataset: Counter[bytes] = field(default_factory=Counter)
    held: DatasetState = field(default_factory=DatasetState)
    imports: int = 0
    # Deleted with this object.
    folder: TemporaryDirectory[str] = field(default_factory=TemporaryDirectory)

    @property
    def late(self) -> Late:
        """The overlap."""
        return Late(Cron(), self.overlap)

    def event(self, number: int, name: str) -> None:
        """Let an event of an hour reach the warehouse, whenever."""
        self.rows.setdefault(number, []).append(name.encode() + f",i,{number}".encode())

    def export(self, number: int) -> None:
        """Export one hour."""
        content = b"\n".join([HEADER, *sorted(self.rows.get(number, []))]) + b"\n"
        key = f"exports/{number:03d}.csv"
        self.bucket[key] = content
        self.published[number] = manifest(hour(number), key, content)

    def read(self, key: str, size: int = 7) -> Iterator[bytes]:
        """Read an object in very small blocks."""
        content = self.bucket[key]
        return (content[at : at + size] for at in range(0, len(content), size))

    def rows_of(self, key: str) -> list[bytes]:
        """Read an object as the service would."""
        return self.bucket[key].split(b"\n")[1:-1]

    def full(self, until: int) -> None:
        """Import everything before an hour by a FULL import, as the two ways of import_from do."""
        self.imports += 1
        late_from = self.late.opens(hour(until).start)
        window = [n for n, m in self.published.items() if n < until and m.interval.end > late_from]
        if self.folder_imports:
            folder = f"imports/{self.imports}/"
            keys = {n: f"{folder}{n}.csv" for n in self.published if n < until}
            for n, key in keys.items():
                self.bucket[key] = self.bucket[self.published[n].objects[EVENTS].key]
            self.dataset = Counter(row for key in keys.values() for row in self.rows_of(key))
            known, objects = {}, {hour(n).key: (keys[n],) for n in window}
            last = LastFull(hour(until).start, "digest", "job", alone=True, snapshot=folder)
        else:
            key = f"full/{self.imports}.csv"
            known, objects = {hour(n).key: self.published[n].objects[EVENTS].digest for n in window}, {}
            rows = [row for n in sorted(self.rows) if n < until for row in self.rows[n]]
            self.bucket[key] = b"\n".join([HEADER, *rows]) + b"\n"
            self.dataset = Counter(rows)
            last = LastFull(hour(until).start, "digest", "job", alone=True, snapshot=key)
        self.held = self.held.after_full(EVENTS, last, known=known, objects=objects)

    def choose(self, limit_bytes: int = 10**9) -> Choice:
        """Plan an INCREMENTAL import."""
        pending = self.held.pending_intervals(EVENTS, self.published.values(), self.late)
        return up_to_limit(
            new_interactions(pending, self.held, self.read, Path(self.folder.name)), limit_bytes
        )

    def increment(self, limit_bytes: int = 10**9) -> Choice:
        """Import what is pending, and note it."""
        choice = self.choose(limit_bytes)
        self.imports += 1
        taken = []
        for piece in choice.taken:
            key = f"imports/{self.imports}/{piece.interval.key}.csv"
            self.bucket[key] = piece.content.read_bytes() if piece.content else self.bucket[piece.source.key]
            self.dataset.update(self.rows_of(key))
            taken.append(Taken(piece.interval.key, piece.source.digest, key))
        nothing_new = {piece.interval.key: piece.source.digest for piece in choice.nothing_new}
        held = self.held.after_increment(EVENTS, taken).with_known(EVENTS, nothing_new)
        # What is kept is a document.
        self.held = DatasetState.from_json(held.to_json())
        return choice
