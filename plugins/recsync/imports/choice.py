"""Which of the pending rows one INCREMENTAL import takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from recsync.export.manifest import Manifest
from recsync.imports.new_rows import Piece
from recsync.program import DatasetType

# https://docs.aws.amazon.com/personalize/latest/dg/limits.html: 1 GB for one incremental import of a dataset; read as
# the smaller of its two meanings.
INCREMENT_BYTES = 1_000_000_000
# The same page: records of one import job of interactions, FULL or INCREMENTAL. Items and users have no minimum.
INCREMENT_INTERACTIONS = 1_000


@dataclass(frozen=True)
class Choice:
    """What one import takes.

    :param taken: oldest first, with rows.
    :param nothing_new: pieces without rows: everything of them was imported before.
    :param too_large: larger than any INCREMENTAL import; left to the next FULL.
    :param rest_waits: there is more than one import takes.
    """

    taken: tuple[Piece, ...] = ()
    nothing_new: tuple[Piece, ...] = ()
    too_large: tuple[Piece, ...] = ()
    rest_waits: bool = False

    @property
    def rows(self) -> int:
        """Rows that are taken."""
        return sum(piece.rows for piece in self.taken)


def up_to_limit(pieces: Iterable[Piece], limit_bytes: int = INCREMENT_BYTES) -> Choice:
    """Take pieces, oldest first, until the next would be more than an import takes; later ones are not looked at."""
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
    """Leave out interactions when they are fewer than one import job takes; the other datasets go alone.

    What is left out stays pending: it goes with a later import, or with the next FULL.
    """
    events = choices[DatasetType.INTERACTIONS]
    if events.rows >= INCREMENT_INTERACTIONS:
        return dict(choices)
    return {**choices, DatasetType.INTERACTIONS: replace(events, taken=(), rest_waits=False)}


def unchanged(pending: Sequence[Manifest], kind: DatasetType, last_digest: str) -> list[Manifest]:
    """Give those of the pending users or items, oldest first, that repeat what was imported just before them."""
    repeated: list[Manifest] = []
    for manifest in pending:
        digest = manifest.objects[kind].digest
        if digest == last_digest:
            repeated.append(manifest)
        last_digest = digest
    return repeated
