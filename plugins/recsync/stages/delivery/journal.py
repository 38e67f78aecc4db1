"""Keep a delivery's ledger while it runs: permit before sending, settle after, a few entries a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from recsync.core.delivery.ledger import Entry, Kind, Ledger, Refusal, ranges
from recsync.errors import RetriableError

# What is settled is written when this many calls wait for it, or at least this often.
_CALLS_PER_ENTRY = 8
_SECONDS_PER_ENTRY = 1.0
# Rows are permitted for as long as this at the pace of the last entry: an entry takes some ten milliseconds, and
# a kill makes everything permitted count as sent twice.
_PERMITTED_SECONDS = 0.5


class Journal:
    """The writing end of one try.

    :param append: writes one entry (number, entry) durably; called in a thread, never twice at a time.
    :param check: raises when somebody else wrote the entry of this number; called in a thread while calls are under
        way and there is nothing to write.
    :param number: of the next entry.
    """

    def __init__(
        self,
        ledger: Ledger,
        number: int,
        append: Callable[[int, Entry], None],
        *,
        token: str,
        check: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._ledger = ledger
        self.number = number
        self._append = append
        self._check = check
        self._token = token
        self._wanted = ledger.permitted
        self._asked = ledger.permitted
        self._ahead = 0
        self._calls = 0
        self._in_flight = 0
        self._taken: list[int] = []
        self._rejected: list[Refusal] = []
        self._dead: list[Refusal] = []
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._closing = False
        self._writing = False
        self.error: Exception | None = None
        self._last = 0.0

    async def permit(self, rows: Sequence[int]) -> None:
        """Return when it is on record that these rows may be under way."""
        self.raise_error()
        self._in_flight += 1
        self._ahead = max(self._ahead, _CALLS_PER_ENTRY * len(rows))
        end = max(rows) + 1
        self._wanted = max(self._wanted, end)
        while end > self._ledger.permitted:
            written = self._written
            self._wake.set()
            await written.wait()
            self.raise_error()

    def settle(
        self, taken: Sequence[int], rejected: Sequence[Refusal] = (), dead: Sequence[Refusal] = ()
    ) -> None:
        """Note what one permitted call came to."""
        self._taken.extend(taken)
        self._rejected.extend(rejected)
        self._dead.extend(dead)
        self._calls += 1
        if self._calls >= max(_CALLS_PER_ENTRY, self._in_flight):
            self._wake.set()

    def finished(self) -> None:
        """Note that a permitted call is over, settled or not."""
        self._in_flight -= 1

    async def run(self) -> None:
        """Write entries until :meth:`close`; an error is kept in :attr:`error` and raised by the next permit."""
        try:
            while not self._closing:
                await self._woken()
                if not await self._write() and self._in_flight:
                    await self._look()
            await self._write()
        except Exception as error:  # ruff: ignore[blind-except] - whatever it is, it must reach those who wait
            self.error = error
        self._announce()

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
        """Write what there is to write; say whether there was anything."""
        if not (self._calls or self._wanted > self._ledger.permitted):
            return False
        permitted = self._next_permitted()
        entry = Entry(
            Kind.PROGRESS,
            datetime.now(UTC).isoformat(),
            by=self._token,
            permitted=permitted,
            taken=ranges(self._taken),
            rejected=tuple(self._rejected),
            dead=tuple(self._dead),
        )
        self._taken, self._rejected, self._dead, self._calls = [], [], [], 0
        self._writing = True
        await asyncio.to_thread(self._append, self.number, entry)
        self._writing = False
        self.number += 1
        self._ledger.apply(entry)
        self._announce()
        return True

    def _next_permitted(self) -> int:
        """Permit what is asked for, and as much more as will be asked for until the next entries are written."""
        now = asyncio.get_running_loop().time()
        if self._last:
            pace = (self._wanted - self._asked) / max(now - self._last, 0.001)
            # Slower than it grows, so that one late entry does not make all connections wait for the next.
            self._ahead = max(int(self._ahead * 0.8), int(pace * _PERMITTED_SECONDS))
        self._last, self._asked = now, self._wanted
        if self._wanted + self._ahead // 2 <= self._ledger.permitted:
            return self._ledger.permitted
        return min(len(self._ledger.statuses), self._wanted + self._ahead)

    def raise_error(self) -> None:
        """Raise what ended :meth:`run`, if anything did."""
        if self.error is not None:
            raise self.error

    def _announce(self) -> None:
        written, self._written = self._written, asyncio.Event()
        written.set()
