"""Write a delivery's ledger while it runs: reserve rows before sending, settle them after, a few entries a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from recsync.errors import RetriableError
from recsync.push.ledger import EntryKind, Ledger, LedgerEntry, Refusal, Status, ranges

# An entry is written when this many calls are settled, or at least this often.
_CALLS_PER_ENTRY = 8
_SECONDS_PER_ENTRY = 1.0
# At a high rate, rows for this many seconds are reserved ahead: writing an entry takes about 10 ms, in which all
# connections would wait, so the next entry is written when half of them are used up. After a kill everything reserved
# is sent again, so at a low rate, where this is at most five calls, nothing is reserved ahead.
_AHEAD_SECONDS = 0.25
# As many calls as Braze allows in that time.
_MOST_AHEAD_CALLS = 250
_SPARE_CALLS = 5


class WriteAheadLog:
    """The ledger's writer in one try.

    :param append: writes one entry (number, entry) durably; called in a thread, one call at a time.
    :param check: raises when another try wrote the entry of this number; called in a thread while there is nothing
        to write.
    :param number: of the next entry.
    :param answers: Braze's responses by status in this try, as the client counts them.
    :ivar until: rows from this one on are not reserved ahead.
    """

    def __init__(
        self,
        ledger: Ledger,
        number: int,
        append: Callable[[int, LedgerEntry], None],
        *,
        token: str,
        check: Callable[[int], None] = lambda number: None,
        answers: Counter[str] | None = None,
    ) -> None:
        self._ledger = ledger
        self.number = number
        self._append = append
        self._check = check
        self._token = token
        self._answers = Counter[str]() if answers is None else answers
        self._told = Counter[str]()
        self.until = len(ledger.statuses)
        self._wanted: list[NDArray[np.int64]] = []
        self._next = 0
        self._ahead_calls = 0
        self._asked_calls = 0
        self._asked_rows = 0
        self._asked_at = 0.0
        self._calls = 0
        self._taken: list[Sequence[int]] = []
        self._rejected: list[Refusal] = []
        self._dead: list[Refusal] = []
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._closing = False
        self._writing = False
        self.error: Exception | None = None

    async def reserve(self, rows: Sequence[int]) -> None:
        """Return once an entry says that these rows may be in flight."""
        self.raise_error()
        self._asked_calls += 1
        self._asked_rows += len(rows)
        self._next = max(self._next, rows[-1] + 1)
        while len(missing := self._ledger.unreserved(rows)):
            self._wanted.append(missing)
            written = self._written
            self._wake.set()
            await written.wait()
            self.raise_error()

    def settle(
        self, taken: Sequence[int], rejected: Sequence[Refusal] = (), dead: Sequence[Refusal] = ()
    ) -> None:
        """Record the results of reserved rows."""
        self._taken.append(taken)
        self._rejected.extend(rejected)
        self._dead.extend(dead)
        self._calls += 1
        if self._calls >= max(_CALLS_PER_ENTRY, self._ahead_calls // 2):
            self._wake.set()

    async def run(self) -> None:
        """Write entries until :meth:`close`; an error is kept in :attr:`error` and raised by the next reservation."""
        try:
            while not self._closing:
                await self._woken()
                if not await self._write():
                    await self._look()
            await self._write()
        except Exception as error:  # ruff: ignore[blind-except] - whatever it is, it must reach those who wait
            self.error = error
        self._announce()

    @property
    def untold(self) -> Counter[str]:
        """Responses that no entry has counted yet."""
        return self._answers - self._told

    async def flush(self) -> None:
        """Return once everything settled so far is written."""
        while (self._calls or self._writing) and self.error is None:
            written = self._written
            self._wake.set()
            await written.wait()
        self.raise_error()

    def close(self) -> None:
        """Make :meth:`run` write the rest and return."""
        self._closing = True
        self._wake.set()

    async def _woken(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), _SECONDS_PER_ENTRY)
        self._wake.clear()

    async def _look(self) -> None:
        """Notice a newer delivery while all calls hang: their retries would overwrite its values."""
        # A store that cannot be read does not stop calls that need no entry.
        with contextlib.suppress(RetriableError):
            await asyncio.to_thread(self._check, self.number)

    async def _write(self) -> bool:
        """Write one entry; return False when there was nothing to write."""
        if not (self._calls or self._wanted or (self._closing and self.untold)):
            return False
        answers = self.untold
        entry = LedgerEntry(
            EntryKind.PROGRESS,
            datetime.now(UTC).isoformat(),
            by=self._token,
            sending=ranges([*self._wanted, self._ahead()]),
            taken=ranges(self._taken),
            rejected=tuple(self._rejected),
            dead=tuple(self._dead),
            answers=dict(answers),
        )
        self._wanted = []
        self._taken, self._rejected, self._dead, self._calls = [], [], [], 0
        self._writing = True
        await asyncio.to_thread(self._append, self.number, entry)
        self._writing = False
        self.number += 1
        self._told += answers
        self._ledger.apply(entry)
        self._announce()
        return True

    def _ahead(self) -> NDArray[np.int64]:
        """Reserve rows ahead, based on the recent rate of calls."""
        now = asyncio.get_running_loop().time()
        calls, rows = self._asked_calls, self._asked_rows
        self._asked_calls = self._asked_rows = 0
        pace = calls / max(now - self._asked_at, 0.001) if self._asked_at else 0.0
        self._asked_at = now
        # Shrink slowly, so that one late entry does not make all connections wait for the next.
        wanted = min(int(pace * _AHEAD_SECONDS), _MOST_AHEAD_CALLS) - _SPARE_CALLS
        self._ahead_calls = max(int(self._ahead_calls * 0.8), wanted, 0)
        end = min(self.until, self._next + self._ahead_calls * rows // max(calls, 1))
        ahead = self._ledger.unreserved(range(self._next, max(end, self._next)))
        still_open: NDArray[np.int64] = ahead[self._ledger.statuses[ahead] == Status.OPEN]
        return still_open

    def raise_error(self) -> None:
        if self.error is not None:
            raise self.error

    def _announce(self) -> None:
        written, self._written = self._written, asyncio.Event()
        written.set()
