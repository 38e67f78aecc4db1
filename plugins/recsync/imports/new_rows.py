"""The rows of published intervals that a dataset does not hold, so that each reaches an import exactly once.

A row that the warehouse returns twice is two rows, as in a FULL import of a snapshot. A row is what its bytes say: one
that was changed after its import is a new row, and the old one stays until the next FULL import.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from recsync.export.manifest import ExportedObject, Manifest
from recsync.imports.dataset_state import Held
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.storage.csv_text.exported import records

# Gives an object's bytes in blocks, by its key.
Reader = Callable[[str], Iterable[bytes]]


@dataclass(frozen=True)
class Piece:
    """Rows of one interval that are not imported yet.

    :param source: the published object; once the piece is imported, the dataset holds all its rows.
    :param content: CSV with header; None when it is the whole of ``source``.
    :param digest: of the rows.
    """

    interval: Interval
    source: ExportedObject
    rows: int
    size_bytes: int
    digest: str
    content: bytes | None = None


def whole(manifest: Manifest, kind: DatasetType) -> Piece:
    """Take an object as it is."""
    source = manifest.objects[kind]
    return Piece(manifest.interval, source, source.rows, source.size_bytes, source.digest)


def new_interactions(pending: Sequence[Manifest], held: Held, read: Reader) -> Iterator[Piece]:
    """Give what of the pending intervals is not imported yet, oldest first; a piece may have no rows.

    An interval that nothing was imported of is taken whole, unread. Of another one, what lies in the import objects is
    left out, and of one that began before the end of the last FULL import, what lies in its snapshot: that is
    streamed once. In memory are the rows of one interval at a time, or of those before the FULL together.
    """
    in_full = groupby(pending, held.lies_in_full)
    for before_full_end, group in in_full:
        manifests = list(group)
        if before_full_end:
            yield from _remaining(manifests, held, read, held.snapshot)
        else:
            for manifest in manifests:
                if held.objects.get(manifest.interval.key):
                    yield from _remaining([manifest], held, read, None)
                else:
                    yield whole(manifest, DatasetType.INTERACTIONS)


def _remaining(
    manifests: Sequence[Manifest], held: Held, read: Reader, snapshot: str | None
) -> Iterator[Piece]:
    contents = [_Content.read(manifest, read) for manifest in manifests]
    wanted = {row for content in contents for row in content.rows}
    seen: Counter[bytes] = Counter()
    imported = dict.fromkeys(key for m in manifests for key in held.objects.get(m.interval.key, ()))
    for key in [*imported, *([snapshot] if snapshot else [])]:
        for block in _data(read(key)):
            seen.update(row for row in block if row in wanted)
    for content in contents:
        yield content.without(seen)


@dataclass(frozen=True)
class _Content:
    manifest: Manifest
    header: bytes
    rows: list[bytes]

    @classmethod
    def read(cls, manifest: Manifest, read: Reader) -> _Content:
        blocks = records(read(manifest.objects[DatasetType.INTERACTIONS].key))
        header, *rows = (row for block in blocks for row in block)
        return cls(manifest, header, rows)

    def without(self, seen: Counter[bytes]) -> Piece:
        """Leave out what was seen, as often as it was seen; a row seen for one interval is not for another."""
        new: list[bytes] = []
        for row in self.rows:
            if seen[row] > 0:
                seen[row] -= 1
            else:
                new.append(row)
        content = b"\n".join([self.header, *new]) + b"\n"
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        source = self.manifest.objects[DatasetType.INTERACTIONS]
        return Piece(self.manifest.interval, source, len(new), len(content), digest, content)


def _data(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Give the records after the header."""
    found = records(blocks)
    yield next(found, [])[1:]
    yield from found
