"""Write a delivery's ledger while it runs: reserve rows before sending, settle them after, a few entries a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from recsync.errors import RetriableError
from recsync.push.ledger import Entry, Kind, Ledger, Refusal, Status, ranges

# What is settled is written when this many calls wait for it, or at least this often.
_CALLS_PER_ENTRY = 8
_SECONDS_PER_ENTRY = 1.0
# At a high rate, rows of so many seconds are reserved ahead: an entry takes some ten milliseconds, in which all
# connections would wait. A kill makes everything reserved count as sent twice, so at a low rate, where two calls
# are more than that, nothing is reserved ahead.
_AHEAD_SECONDS = 0.1
_SPARE_CALLS = 2


class Journal:
    """The writing end of one try.

    :param append: writes one entry (number, entry) durably; called in a thread, never twice at a time.
    :param check: raises when somebody else wrote the entry of this number; called in a thread while there is nothing
        to write.
    :param number: of the next entry.
    :param answers: Braze's answers by status in this try, as the client counts them.
    :ivar until: rows from this one on are not reserved ahead.
    """

    def __init__(
        self,
        ledger: Ledger,
        number: int,
        append: Callable[[int, Entry], None],
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
        self._wanted: set[int] = set()
        self._next = 0
        self._ahead_calls = 0
        self._asked_calls = 0
        self._asked_rows = 0
        self._asked_at = 0.0
        self._calls = 0
        self._taken: list[int] = []
        self._rejected: list[Refusal] = []
        self._dead: list[Refusal] = []
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._closing = False
        self._writing = False
        self.error: Exception | None = None

    async def reserve(self, rows: Sequence[int]) -> None:
        """Return when it is on record that these rows may be under way."""
        self.raise_error()
        self._asked_calls += 1
        self._asked_rows += len(rows)
        self._next = max(self._next, rows[-1] + 1)
        while missing := self._ledger.unreserved(rows):
            self._wanted.update(missing)
            written = self._written
            self._wake.set()
            await written.wait()
            self.raise_error()

    def settle(
        self, taken: Sequence[int], rejected: Sequence[Refusal] = (), dead: Sequence[Refusal] = ()
    ) -> None:
        """Note what became of reserved rows."""
        self._taken.extend(taken)
        self._rejected.extend(rejected)
        self._dead.extend(dead)
        self._calls += 1
        if self._calls >= max(_CALLS_PER_ENTRY, self._ahead_calls):
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
        """Answers that no entry has counted yet."""
        return self._answers - self._told

    async def flush(self) -> None:
        """Return when everything settled so far is on record."""
        while (self._calls or self._writing) and self.error is None:
            written = self._written
            self._wake.set()
            await written.wait()
        self.raise_error()

    def close(self) -> None:
        """Let :meth:`run` write what is left and return."""
        self._closing = True
        self._wake.set()

    async def _woken(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), _SECONDS_PER_ENTRY)
        self._wake.clear()

    async def _look(self) -> None:
        """Notice a newer delivery even while all calls hang: their next tries would write older values over its own."""
        # A store that cannot be read stops nothing that needs no writing.
        with contextlib.suppress(RetriableError):
            await asyncio.to_thread(self._check, self.number)

    async def _write(self) -> bool:
        """Write one entry; return whether there was anything to write."""
        if not (self._calls or self._wanted or (self._closing and self.untold)):
            return False
        answers = self.untold
        entry = Entry(
            Kind.PROGRESS,
            datetime.now(UTC).isoformat(),
            by=self._token,
            sending=ranges([*self._wanted.union(self._ahead())]),
            taken=ranges(self._taken),
            rejected=tuple(self._rejected),
            dead=tuple(self._dead),
            answers=dict(answers),
        )
        self._wanted = set()
        self._taken, self._rejected, self._dead, self._calls = [], [], [], 0
        self._writing = True
        await asyncio.to_thread(self._append, self.number, entry)
        self._writing = False
        self.number += 1
        self._told += answers
        self._ledger.apply(entry)
        self._announce()
        return True

    def _ahead(self) -> list[int]:
        """Return the rows of the calls that will be made while the next entries are written."""
        now = asyncio.get_running_loop().time()
        calls, rows = self._asked_calls, self._asked_rows
        self._asked_calls = self._asked_rows = 0
        pace = calls / max(now - self._asked_at, 0.001) if self._asked_at else 0.0
        self._asked_at = now
        # Slower than it grows, so that one late entry does not make all connections wait for the next.
        self._ahead_calls = max(int(self._ahead_calls * 0.8), int(pace * _AHEAD_SECONDS) - _SPARE_CALLS, 0)
        end = min(self.until, self._next + self._ahead_calls * rows // max(calls, 1))
        ahead = self._ledger.unreserved(range(self._next, max(end, self._next)))
        return [row for row in ahead if self._ledger.statuses[row] == Status.OPEN]

    def raise_error(self) -> None:
        """Raise what ended :meth:`run`, if anything did."""
        if self.error is not None:
            raise self.error

    def _announce(self) -> None:
        written, self._written = self._written, asyncio.Event()
        written.set()
