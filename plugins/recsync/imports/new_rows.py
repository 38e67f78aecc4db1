"""Choose the rows of published intervals that an INCREMENTAL import takes.

Rows are compared by their bytes. A row that the warehouse returns twice is two rows, as in a FULL import; one that was
changed after its import is a new row, and the old one stays until the next FULL import.

An INCREMENTAL import replaces users and items by their id, but in which order it reads the objects of a folder is not
documented.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, pairwise

from recsync.errors import FatalError
from recsync.export.manifest import ExportedObject, Manifest
from recsync.imports.dataset_state import DatasetState
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.storage.csv_text import records

# https://docs.aws.amazon.com/personalize/latest/dg/limits.html: 1 GB for one incremental import of a dataset; read as
# the smaller of its two meanings.
INCREMENT_BYTES = 1_000_000_000
# The same page: records of one import job of interactions, FULL or INCREMENTAL. Items and users have no minimum.
INCREMENT_INTERACTIONS = 1_000
_NAMED_GAPS = 5

# Reads an object's bytes in blocks, by its key.
Reader = Callable[[str], Iterable[bytes]]


def check_chain(manifests: Sequence[Manifest]) -> None:
    """Check that each interval, oldest first, begins where the one before it ends.

    :raises FatalError: naming the gaps and overlaps.
    """
    breaks = [
        f"{before.interval.end.isoformat()} to {after.interval.start.isoformat()}"
        for before, after in pairwise(manifests)
        if before.interval.end != after.interval.start
    ]
    if breaks:
        named = ", ".join(breaks[:_NAMED_GAPS])
        more = f" and {len(breaks) - _NAMED_GAPS} more" if len(breaks) > _NAMED_GAPS else ""
        raise FatalError(
            f"The published intervals have {len(breaks)} gap(s) or overlap(s): {named}{more}. Fill them with "
            "`airflow backfill create`, or set train_full.import_from to snapshot."
        )


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
    """Return a whole object as one piece."""
    source = manifest.objects[kind]
    return Piece(manifest.interval, source, source.rows, source.size_bytes, source.digest)


def new_interactions(pending: Sequence[Manifest], state: DatasetState, read: Reader) -> Iterator[Piece]:
    """Yield the rows of pending intervals that are not imported yet, oldest first; a piece may have no rows.

    An interval of which nothing was imported is taken whole, unread. From others, the rows of their import objects are
    left out, and of the FULL's snapshot when they began before its end; the snapshot is streamed once. In memory are
    the rows of one interval, or of all those before the end of the FULL.
    """
    for before_full_end, group in groupby(pending, state.in_full):
        manifests = list(group)
        if before_full_end:
            yield from _remaining(manifests, state, read, state.snapshot)
        else:
            for manifest in manifests:
                if state.objects.get(manifest.interval.key):
                    yield from _remaining([manifest], state, read, None)
                else:
                    yield whole(manifest, DatasetType.INTERACTIONS)


def _remaining(
    manifests: Sequence[Manifest], state: DatasetState, read: Reader, snapshot: str | None
) -> Iterator[Piece]:
    contents = [_Content.read(manifest, read) for manifest in manifests]
    wanted = {row for content in contents for row in content.rows}
    seen: Counter[bytes] = Counter()
    imported = dict.fromkeys(key for m in manifests for key in state.objects.get(m.interval.key, ()))
    for key in [*imported, *([snapshot] if snapshot else [])]:
        found = records(read(key))
        for block in chain([next(found, [])[1:]], found):  # without the header
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
        """Leave out each row as often as it was seen, and count those down for the intervals after this one."""
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


@dataclass(frozen=True)
class Choice:
    """What one import takes.

    :param taken: oldest first, with rows.
    :param nothing_new: pieces without rows: all of them were imported before.
    :param too_large: larger than any INCREMENTAL import; left to the next FULL.
    :param rest_waits: more is pending than one import takes.
    """

    taken: tuple[Piece, ...] = ()
    nothing_new: tuple[Piece, ...] = ()
    too_large: tuple[Piece, ...] = ()
    rest_waits: bool = False

    @property
    def rows(self) -> int:
        """Number of rows taken."""
        return sum(piece.rows for piece in self.taken)


def up_to_limit(pieces: Iterable[Piece], limit_bytes: int = INCREMENT_BYTES) -> Choice:
    """Take pieces, oldest first, until the next would exceed the limit of an import; later ones are not read."""
    taken: list[Piece] = []
    empty: list[Piece] = []
    too_large: list[Piece] = []
    size = 0
    for piece in pieces:
        if piece.rows == 0:
            empty.append(piece)
        elif piece.size_bytes > limit_bytes:
            too_large.append(piece)
        elif size + piece.size_bytes > limit_bytes:
            return Choice(tuple(taken), tuple(empty), tuple(too_large), rest_waits=True)
        else:
            taken.append(piece)
            size += piece.size_bytes
    return Choice(tuple(taken), tuple(empty), tuple(too_large))


def importable(choices: Mapping[DatasetType, Choice]) -> dict[DatasetType, Choice]:
    """Leave out interactions when they are fewer than one import job takes; the other datasets are imported alone.

    They stay pending for a later import or the next FULL.
    """
    events = choices[DatasetType.INTERACTIONS]
    if events.rows >= INCREMENT_INTERACTIONS:
        return dict(choices)
    return {**choices, DatasetType.INTERACTIONS: replace(events, taken=(), rest_waits=False)}


def unchanged(pending: Sequence[Manifest], kind: DatasetType, last_digest: str) -> list[Manifest]:
    """Return the pending objects of users or items, oldest first, that equal the import right before them."""
    repeated: list[Manifest] = []
    for manifest in pending:
        digest = manifest.objects[kind].digest
        if digest == last_digest:
            repeated.append(manifest)
        last_digest = digest
    return repeated


def newest_rows(
    pieces: Sequence[Piece], kind: DatasetType, read: Reader
) -> Iterator[tuple[Piece, bytes | None]]:
    """Remove rows from each piece when a later piece has the same id. Memory holds the ids, and the rows of one piece.

    :param pieces: oldest first.
    :returns: each piece's remaining CSV with header; None when it stays as it is, empty when no row remains.
    """
    if len(pieces) == 1:
        yield pieces[0], None
        return
    last: dict[bytes, int] = {}
    for number, piece in enumerate(pieces):
        last |= dict.fromkeys((identity for identity, _ in _rows(piece, kind, read)), number)
    for number, piece in enumerate(pieces):
        yield piece, _left(piece, kind, read, last, number)


def _left(piece: Piece, kind: DatasetType, read: Reader, last: dict[bytes, int], number: int) -> bytes | None:
    rows = [(last[identity] == number, row) for identity, row in _rows(piece, kind, read)]
    kept = [row for is_last, row in rows if is_last]
    if len(kept) == len(rows):
        return None
    if not kept:
        return b""
    header = next(records(read(piece.source.key)))[0]
    return b"\n".join([header, *kept]) + b"\n"


def _rows(piece: Piece, kind: DatasetType, read: Reader) -> Iterator[tuple[bytes, bytes]]:
    """Yield each row with its id."""
    found = records(read(piece.source.key))
    header, *first = next(found)
    column = _cells(header).index(f"{kind.value[:-1]}_ID".encode())
    for block in (first, *found):
        for row in block:
            yield _cells(row)[column], row


def _cells(row: bytes) -> list[bytes]:
    if b'"' not in row:
        return row.split(b",")
    cells = next(csv.reader([row.decode()], escapechar="\\", doublequote=False))
    return [cell.encode() for cell in cells]
