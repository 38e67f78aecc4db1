"""Choose the rows of published intervals that an INCREMENTAL import takes.

Rows are compared by their bytes. A row that the warehouse returns twice is two rows, as in a FULL import; one that was
changed after its import is a new row, and the old one stays until the next FULL import.

An INCREMENTAL import replaces users and items by their id, but in which order it reads the objects of a folder is not
documented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path

from recsync.errors import FatalError
from recsync.export.manifest import ExportedObject, Manifest
from recsync.imports.dataset_state import DatasetState
from recsync.imports.row_table import RowFile, RowTable
from recsync.program import DatasetType
from recsync.program.intervals import Interval

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
    :param content: file of CSV with header; None when it is the whole of ``source``.
    :param digest: of the rows.
    """

    interval: Interval
    source: ExportedObject
    rows: int
    size_bytes: int
    digest: str
    content: Path | None = None


def whole(manifest: Manifest, kind: DatasetType) -> Piece:
    """Return a whole object as one piece."""
    source = manifest.objects[kind]
    return Piece(manifest.interval, source, source.rows, source.size_bytes, source.digest)


def new_interactions(
    pending: Sequence[Manifest], state: DatasetState, read: Reader, work: Path
) -> Iterator[Piece]:
    """Yield the rows of pending intervals that are not imported yet, oldest first; a piece may have no rows.

    An interval of which nothing was imported is taken whole, unread. From others, the rows of their import objects are
    left out, and of the FULL's snapshot when they began before its end; the snapshot is streamed once. On the local
    disk are the rows of one interval, or of all those before the end of the FULL.

    :param work: folder for the files of pieces, which the caller deletes.
    """
    for before_full_end, group in groupby(pending, state.in_full):
        manifests = list(group)
        if before_full_end:
            yield from _remaining(manifests, state, read, state.snapshot, work)
        else:
            for manifest in manifests:
                if state.objects.get(manifest.interval.key):
                    yield from _remaining([manifest], state, read, None, work)
                else:
                    yield whole(manifest, DatasetType.INTERACTIONS)


def _remaining(
    manifests: Sequence[Manifest], state: DatasetState, read: Reader, snapshot: str | None, work: Path
) -> Iterator[Piece]:
    sources = [m.objects[DatasetType.INTERACTIONS] for m in manifests]
    imported = dict.fromkeys(key for m in manifests for key in state.objects.get(m.interval.key, ()))
    with RowTable.opened(work, sum(source.size_bytes for source in sources)) as table:
        for source in sources:
            table.add(read(source.key))
        table.keep_new(read(key) for key in [*imported, *([snapshot] if snapshot else [])])
        kept = [table.kept(number) for number in range(len(sources))]
    for manifest, source, rows in zip(manifests, sources, kept, strict=True):
        path = work / f"{DatasetType.INTERACTIONS.folder}-{manifest.interval.key}.csv"
        found = RowFile.write(path, read(source.key), rows)
        yield Piece(manifest.interval, source, found.rows, found.size_bytes, found.digest, path)


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
    pieces: Sequence[Piece], kind: DatasetType, read: Reader, work: Path
) -> Iterator[tuple[Piece, Path | None]]:
    """Remove rows from each piece when a later piece has the same id.

    :param pieces: oldest first.
    :param work: folder for the files.
    :returns: each piece that has rows left, with its remaining CSV with header; None when it stays as it is.
    """
    if len(pieces) == 1:
        yield pieces[0], None
        return
    with RowTable.opened(work, sum(piece.source.size_bytes for piece in pieces)) as table:
        for piece in pieces:
            table.add(read(piece.source.key), id_column=f"{kind.value[:-1]}_ID")
        table.keep_newest()
        kept = [table.kept(number) for number in range(len(pieces))]
    for piece, rows in zip(pieces, kept, strict=True):
        if rows.all():
            yield piece, None
        elif rows.any():
            path = work / f"{kind.folder}-{piece.interval.key}.csv"
            yield piece, RowFile.write(path, read(piece.source.key), rows).path
