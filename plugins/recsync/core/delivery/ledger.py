"""The ledger of a delivery: an append-only log from which any try knows what is settled, and what nobody knows.

Entries are written before what they permit and after what they settle. A write's row is settled once an entry says
so; a row that was permitted and is not settled may have been sent, so it is sent again, and counted.

Each entry is one object with the next number, created only if nobody else created it: a try that was taken
over finds its number taken and stops, without clocks or locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsync.errors import FatalError


class Kind(StrEnum):
    """What an entry is for.

    ``TAKE_OVER``: a try begins. ``PROGRESS``: rows permitted and settled. ``CLOSED``: nobody may go on with this
    delivery; ``by`` names the newer one, or is the delivery's own name when it is complete.
    """

    TAKE_OVER = "take_over"
    PROGRESS = "progress"
    CLOSED = "closed"


class Status(IntEnum):
    """What became of one row."""

    OPEN = 0
    TAKEN = 1
    REJECTED = 2
    DEAD = 3


@dataclass(frozen=True)
class Refusal:
    """A row that Braze did not take, and why, in Braze's words."""

    row: int
    reason: str


@dataclass(frozen=True)
class Entry:
    """One entry.

    :param kind: see :class:`Kind`.
    :param at: when it was written, ISO 8601.
    :param permitted: rows below this one may be under way from now on.
    :param taken: ranges of rows that Braze took, each (first, one past the last).
    :param resent: at a take-over: rows that may have been sent before and are sent again.
    """

    kind: Kind
    at: str
    by: str = ""
    permitted: int = 0
    taken: tuple[tuple[int, int], ...] = ()
    rejected: tuple[Refusal, ...] = ()
    dead: tuple[Refusal, ...] = ()
    resent: int = 0

    def as_json(self) -> dict[str, Any]:
        """Give a JSON object; what is empty is left out."""
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Entry:
        """Read a JSON object.

        :raises FatalError: when it is none of ours.
        """
        try:
            return cls(
                kind=Kind(document["kind"]),
                at=document["at"],
                by=document.get("by", ""),
                permitted=int(document.get("permitted", 0)),
                taken=tuple((int(first), int(end)) for first, end in document.get("taken", ())),
                rejected=_refusals(document.get("rejected", ())),
                dead=_refusals(document.get("dead", ())),
                resent=int(document.get("resent", 0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FatalError(
                f"A ledger entry is damaged ({type(error).__name__}): restore it from a backup."
            ) from None


def _refusals(documents: Iterable[dict[str, Any]]) -> tuple[Refusal, ...]:
    return tuple(Refusal(int(d["row"]), str(d["reason"])) for d in documents)


@dataclass
class Ledger:
    """What the entries so far say.

    :param statuses: one :class:`Status` per row of the plan.
    :param reasons: why a row was rejected or given up.
    :param closed_by: the delivery that closed this one; its own name when complete, empty while it is open.
    :param tries: how often somebody began.
    """

    statuses: NDArray[np.int8]
    reasons: dict[int, str] = field(default_factory=dict)
    permitted: int = 0
    resent: int = 0
    tries: int = 0
    closed_by: str = ""

    @classmethod
    def of(cls, rows: int, entries: Iterable[Entry]) -> Ledger:
        """Replay entries, in their order, for a plan of so many rows."""
        ledger = cls(np.zeros(rows, dtype=np.int8))
        for entry in entries:
            ledger.apply(entry)
        return ledger

    def apply(self, entry: Entry) -> None:
        """Take in one entry."""
        self.permitted = max(self.permitted, entry.permitted)
        self.resent += entry.resent
        self.tries += entry.kind == Kind.TAKE_OVER
        self.closed_by = entry.by if entry.kind == Kind.CLOSED else self.closed_by
        for first, end in entry.taken:
            self.statuses[first:end] = Status.TAKEN
        for status, refusals in ((Status.REJECTED, entry.rejected), (Status.DEAD, entry.dead)):
            for refusal in refusals:
                self.statuses[refusal.row] = status
                self.reasons[refusal.row] = refusal.reason

    @property
    def open_rows(self) -> NDArray[np.int64]:
        """Rows that are not settled, ascending."""
        return np.flatnonzero(self.statuses == Status.OPEN)

    @property
    def unknown_rows(self) -> NDArray[np.int64]:
        """Rows of which nobody knows whether Braze has them, ascending: given up, or under way when a try died."""
        under_way = np.zeros(len(self.statuses), dtype=np.bool_)
        under_way[: self.permitted] = self.statuses[: self.permitted] == Status.OPEN
        return np.flatnonzero(under_way | (self.statuses == Status.DEAD))

    @property
    def under_way(self) -> int:
        """How many rows may have been sent without being settled."""
        return int(np.count_nonzero(self.statuses[: self.permitted] == Status.OPEN))

    @property
    def complete(self) -> bool:
        """Whether every row is settled."""
        return not np.any(self.statuses == Status.OPEN)

    def count(self, status: Status) -> int:
        """Count the rows of one status."""
        return int(np.count_nonzero(self.statuses == status))


def ranges(rows: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Write rows as ranges (first, one past the last); the rows need not be sorted."""
    found: list[list[int]] = []
    for row in sorted(rows):
        if found and found[-1][1] == row:
            found[-1][1] = row + 1
        else:
            found.append([row, row + 1])
    return tuple((first, end) for first, end in found)
