"""Which of the pending rows one INCREMENTAL import takes, and whether it is worth a billed run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsync.core.imports.exported import Manifest
from recsync.core.imports.new_rows import Piece
from recsync.core.program import DatasetType, TrainUpdate

# https://docs.aws.amazon.com/personalize/latest/dg/limits.html: 1 GB for one incremental import of a dataset; read as
# the smaller of its two meanings.
INCREMENT_BYTES = 1_000_000_000


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


def unchanged(pending: Sequence[Manifest], kind: DatasetType, last_digest: str) -> list[Manifest]:
    """Give those of the pending users or items, oldest first, that repeat what was imported just before them."""
    repeated: list[Manifest] = []
    for manifest in pending:
        digest = manifest.objects[kind].digest
        if digest == last_digest:
            repeated.append(manifest)
        last_digest = digest
    return repeated


def reason_to_wait(choices: dict[DatasetType, Choice], now: datetime, settings: TrainUpdate) -> str | None:
    """Say why the pending rows are not worth a billed run yet; None when they are.

    They are once there are enough interactions, or once the oldest pending interval has waited long enough.
    """
    ends = [piece.interval.end for choice in choices.values() for piece in choice.taken]
    new = choices[DatasetType.INTERACTIONS]
    if not ends:
        return "Nothing is pending: everything that was exported is imported."
    if new.rows >= settings.min_new_interactions or new.rest_waits:
        return None
    oldest = min(ends)
    minimum = settings.min_new_interactions
    waited = f"{new.rows} new interactions are pending; train_update.min_new_interactions is {minimum}."
    if settings.max_wait_hours is None:
        return f"{waited} They wait."
    until = oldest + timedelta(hours=settings.max_wait_hours)
    if now >= until:
        return None
    return (
        f"{waited} They wait until then, at most until {until.isoformat()} (train_update.max_wait_hours is "
        f"{settings.max_wait_hours:g})."
    )
