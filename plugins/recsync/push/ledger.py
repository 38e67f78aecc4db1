"""The ledger of a delivery: an append-only log of which rows are settled and which may have been sent.

An entry reserves rows before they are sent, and another settles them after the response. A row that is reserved and
not settled may have been sent: the next try sends it again and counts it as resent.

Each entry is one object with the next number, created only if it does not exist yet: a try that was taken over
finds its number taken and stops, without clocks or locks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsync.errors import FatalError


class EntryKind(StrEnum):
    """``TAKE_OVER``: a try begins. ``PROGRESS``: rows reserved and settled. ``CLOSED``: no try may continue.

    A ``CLOSED`` entry names in ``by`` the newer delivery, or the delivery itself when it is complete.
    """

    TAKE_OVER = "take_over"
    PROGRESS = "progress"
    CLOSED = "closed"


class Status(IntEnum):
    """The result of one row."""

    OPEN = 0
    TAKEN = 1
    REJECTED = 2
    DEAD = 3


class Reserved(IntEnum):
    """Which try may have sent one row."""

    NEVER = 0
    EARLIER = 1
    NOW = 2


# Python 3.11 looks members of an enumeration up in 1 microsecond, which counts where every call does it.
_NOW = int(Reserved.NOW)


@dataclass(frozen=True)
class Refusal:
    """A row that Braze refused, and its reason."""

    row: int
    reason: str


@dataclass(frozen=True)
class LedgerEntry:
    """One entry.

    :param at: when it was written, ISO 8601.
    :param sending: ranges of rows that may be in flight from now on, each (first, one past the last).
    :param taken: ranges of rows that Braze accepted.
    :param answers: responses by status since the try's last entry.
    :param permitted: in entries of older versions, instead of ``sending``: all rows below this one.
    :param resent: in take-overs of older versions: rows that may have been sent before.
    """

    kind: EntryKind
    at: str
    by: str = ""
    sending: tuple[tuple[int, int], ...] = ()
    taken: tuple[tuple[int, int], ...] = ()
    rejected: tuple[Refusal, ...] = ()
    dead: tuple[Refusal, ...] = ()
    answers: Mapping[str, int] = field(default_factory=dict)
    permitted: int = 0
    resent: int = 0

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def parse(cls, document: dict[str, Any]) -> LedgerEntry:
        """Read a JSON object.

        :raises FatalError: when it is not a ledger entry.
        """
        try:
            return cls(
                kind=EntryKind(document["kind"]),
                at=document["at"],
                by=document.get("by", ""),
                sending=_ranges(document.get("sending", ())),
                taken=_ranges(document.get("taken", ())),
                rejected=_refusals(document.get("rejected", ())),
                dead=_refusals(document.get("dead", ())),
                answers={str(status): int(n) for status, n in document.get("answers", {}).items()},
                permitted=int(document.get("permitted", 0)),
                resent=int(document.get("resent", 0)),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FatalError(
                f"A ledger entry is damaged ({type(error).__name__}): restore it from a backup."
            ) from None


def _ranges(pairs: Iterable[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((int(first), int(end)) for first, end in pairs)


def _refusals(documents: Iterable[dict[str, Any]]) -> tuple[Refusal, ...]:
    return tuple(Refusal(int(d["row"]), str(d["reason"])) for d in documents)


@dataclass
class Ledger:
    """The state of a delivery after all entries so far.

    :param statuses: one :class:`Status` per row of the plan.
    :param reasons: why a row was rejected or given up.
    :param resent: rows that an earlier try may have sent and that were sent again.
    :param closed_by: the delivery that closed this one; its own name when complete, empty while it is open.
    :param answers: Braze's responses by status, over all tries.
    """

    statuses: NDArray[np.int8]
    reasons: dict[int, str] = field(default_factory=dict)
    resent: int = 0
    tries: int = 0
    closed_by: str = ""
    answers: Counter[str] = field(default_factory=Counter)
    _reserved: NDArray[np.int8] = field(init=False)

    def __post_init__(self) -> None:
        self._reserved = np.zeros(len(self.statuses), dtype=np.int8)

    @classmethod
    def of(cls, rows: int, entries: Iterable[LedgerEntry]) -> Ledger:
        """Replay entries, in their order, for a plan of ``rows`` rows."""
        ledger = cls(np.zeros(rows, dtype=np.int8))
        for entry in entries:
            ledger.apply(entry)
        return ledger

    def apply(self, entry: LedgerEntry) -> None:
        self._reserve(entry)
        if entry.kind == EntryKind.TAKE_OVER:
            self.tries += 1
            self._reserved[self._reserved == Reserved.NOW] = Reserved.EARLIER
        self.answers.update(entry.answers)
        self.closed_by = entry.by if entry.kind == EntryKind.CLOSED else self.closed_by
        for first, end in entry.taken:
            self.statuses[first:end] = Status.TAKEN
        for status, refusals in ((Status.REJECTED, entry.rejected), (Status.DEAD, entry.dead)):
            for refusal in refusals:
                self.statuses[refusal.row] = status
                self.reasons[refusal.row] = refusal.reason

    def _reserve(self, entry: LedgerEntry) -> None:
        older = self._reserved[: entry.permitted]
        older[older == Reserved.NEVER] = Reserved.NOW
        self.resent += entry.resent
        for first, end in entry.sending:
            again = self._reserved[first:end] == Reserved.EARLIER
            self.resent += int(np.count_nonzero(again & (self.statuses[first:end] == Status.OPEN)))
            self._reserved[first:end] = Reserved.NOW

    def unreserved(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows that this try has not reserved."""
        if isinstance(rows, range):  # nearly every call
            here = self._reserved[rows.start : rows.stop]
            # Counting bytes costs a tenth of numpy's comparison of so few rows.
            if here.tobytes().count(_NOW) == len(here):
                return np.empty(0, dtype=np.int64)
            return np.flatnonzero(here != _NOW) + rows.start
        wanted = np.asarray(rows, dtype=np.int64)
        found: NDArray[np.int64] = wanted[self._reserved[wanted] != _NOW]
        return found

    @property
    def open_rows(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.statuses == Status.OPEN)

    @property
    def unknown_rows(self) -> NDArray[np.int64]:
        """Rows that Braze may or may not have, ascending: given up, or in flight when a try died."""
        return np.flatnonzero(self._under_way | (self.statuses == Status.DEAD))

    @property
    def under_way(self) -> int:
        """Number of rows that may have been sent and are not settled."""
        return int(np.count_nonzero(self._under_way))

    @property
    def _under_way(self) -> NDArray[np.bool_]:
        under_way: NDArray[np.bool_] = (self._reserved != Reserved.NEVER) & (self.statuses == Status.OPEN)
        return under_way

    @property
    def complete(self) -> bool:
        return not np.any(self.statuses == Status.OPEN)

    def count(self, status: Status) -> int:
        return int(np.count_nonzero(self.statuses == status))


def ranges(rows: Iterable[Sequence[int] | NDArray[np.int64]]) -> tuple[tuple[int, int], ...]:
    """Convert groups of rows, in any order, into ranges (first, one past the last)."""
    found: list[tuple[int, int]] = []
    for first, end in sorted(pair for group in rows for pair in _runs(group)):
        # A call that waits while an entry is written asks for its rows twice.
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((first, end))
    return tuple(found)


def _runs(rows: Sequence[int] | NDArray[np.int64]) -> list[tuple[int, int]]:
    if isinstance(rows, range):  # nearly every call: no array of its rows
        return [(rows.start, rows.stop)] if rows else []
    if not len(rows):
        return []
    ordered = np.sort(np.asarray(rows, dtype=np.int64))
    gaps = np.flatnonzero(np.diff(ordered) > 1)
    firsts, lasts = ordered[[0, *(gaps + 1)]], ordered[[*gaps, -1]]
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))
