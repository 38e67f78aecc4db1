"""The writing end of the ledger: reserve before sending, lose no settlement, write few entries."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsync.errors import RetriableError
from recsync.push.ledger import EntryKind, Ledger, LedgerEntry, Refusal, Status
from recsync.push.write_ahead_log import WriteAheadLog

TAKE_OVER = LedgerEntry(EntryKind.TAKE_OVER, "now", "me")


@dataclass
class Log:
    """Where entries end up; a held log keeps its writer waiting."""

    rows: int
    entries: list[LedgerEntry] = field(default_factory=list)
    fails_at: int = -1
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def append(self, number: int, entry: LedgerEntry) -> None:
        assert self.gate.wait(30)
        assert number == len(self.entries)
        if number == self.fails_at:
            raise RetriableError("S3 failed")
        self.entries.append(LedgerEntry.parse(entry.as_json()))

    @property
    def ledger(self) -> Ledger:
        return Ledger.of(self.rows, self.entries)

    def run(
        self, work: Callable[[WriteAheadLog], Awaitable[Any]], answers: Counter[str] | None = None
    ) -> WriteAheadLog:
        return asyncio.run(self._run(work, answers))

    async def _run(
        self, work: Callable[[WriteAheadLog], Awaitable[Any]], answers: Counter[str] | None
    ) -> WriteAheadLog:
        journal = WriteAheadLog(self.ledger, len(self.entries), self.append, token="me", answers=answers)
        writing = asyncio.create_task(journal.run())
        try:
            await work(journal)
        finally:
            self.gate.set()
            journal.close()
            await writing
        return journal


@settings(deadline=None, max_examples=80)
@given(
    st.integers(1, 60),
    st.integers(1, 6),
    st.integers(1, 9),
    st.lists(
        st.sampled_from([Status.TAKEN, Status.TAKEN, Status.REJECTED, Status.DEAD, Status.OPEN]), max_size=60
    ),
)
def test_what_is_under_way_is_on_record_and_what_is_settled_gets_there(
    rows: int, workers: int, size: int, fates: list[Status]
) -> None:
    log = Log(rows)
    fate = {row: fates[row] if row < len(fates) else Status.TAKEN for row in range(rows)}

    async def work(journal: WriteAheadLog) -> None:
        batches = iter([range(first, min(first + size, rows)) for first in range(0, rows, size)])

        async def one() -> None:
            for batch in batches:
                await journal.reserve(batch)
                assert not len(log.ledger.unreserved(batch))
                await asyncio.sleep(0)
                journal.settle(
                    [row for row in batch if fate[row] == Status.TAKEN],
                    [Refusal(row, f"no {row}") for row in batch if fate[row] == Status.REJECTED],
                    [Refusal(row, f"? {row}") for row in batch if fate[row] == Status.DEAD],
                )

        await asyncio.gather(*(one() for _ in range(workers)))
        await journal.flush()
        assert log.ledger.statuses.tolist() == list(fate.values())

    journal = log.run(work)
    journal.raise_error()
    assert journal.number == len(log.entries)
    assert log.ledger.statuses.tolist() == list(fate.values())
    reasons = {Status.REJECTED: "no", Status.DEAD: "?"}
    assert log.ledger.reasons == {row: f"{reasons[s]} {row}" for row, s in fate.items() if s in reasons}
    assert len(log.entries) <= 2 * -(-rows // size) + 1


def test_a_reservation_waits_for_its_entry() -> None:
    log = Log(100)

    async def work(journal: WriteAheadLog) -> None:
        log.gate.clear()
        reservation = asyncio.create_task(journal.reserve([98, 99]))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not reservation.done()
        log.gate.set()
        await reservation
        assert log.ledger.unknown_rows.tolist() == [98, 99], "and no row below them"

    log.run(work)


def test_what_is_settled_during_a_write_is_in_the_next_entry() -> None:
    log = Log(100)

    async def work(journal: WriteAheadLog) -> None:
        await journal.reserve([0, 1])
        log.gate.clear()
        journal.settle([0])
        flush = asyncio.create_task(journal.flush())
        for _ in range(20):
            await asyncio.sleep(0.001)
        journal.settle([1])
        assert not flush.done()
        log.gate.set()
        await flush
        assert log.ledger.count(Status.TAKEN) == 2

    log.run(work)
    assert [entry.taken for entry in log.entries] == [(), ((0, 1),), ((1, 2),)]


def test_closing_writes_what_is_left() -> None:
    log = Log(10)

    async def work(journal: WriteAheadLog) -> None:
        await journal.reserve([3])
        journal.settle([3])

    log.run(work)
    assert log.ledger.count(Status.TAKEN) == 1


@pytest.mark.parametrize("kind", ["reserve", "flush", "later reservation"])
def test_an_entry_that_cannot_be_written_stops_everybody(kind: str) -> None:
    log = Log(1_000, fails_at=0 if kind == "reserve" else 1)

    async def work(journal: WriteAheadLog) -> None:
        await journal.reserve([0])
        journal.settle([0])
        await journal.flush() if kind == "flush" else await journal.reserve([999])

    with pytest.raises(RetriableError, match="S3 failed"):
        log.run(work)
    assert log.ledger.count(Status.TAKEN) == 0
    assert len(log.entries) <= 1


def test_everybody_who_waits_hears_of_the_error() -> None:
    log = Log(100, fails_at=0)

    async def work(journal: WriteAheadLog) -> list[Any]:
        waiting = [journal.reserve([row]) for row in range(0, 100, 10)]
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in errors] == [RetriableError] * 10
        with pytest.raises(RetriableError):
            await journal.reserve([1])
        return []

    journal = log.run(work)
    with pytest.raises(RetriableError):
        journal.raise_error()


def test_only_what_is_sent_again_is_reserved_again() -> None:
    log = Log(10, [LedgerEntry(EntryKind.PROGRESS, "now", sending=((0, 8),), taken=((0, 3),)), TAKE_OVER])

    async def work(journal: WriteAheadLog) -> None:
        await journal.reserve(range(3, 6))
        await journal.reserve(range(4, 6))

    log.run(work)
    assert [entry.sending for entry in log.entries[2:]] == [((3, 6),)]
    assert log.ledger.resent == 3
    assert log.ledger.unknown_rows.tolist() == [3, 4, 5, 6, 7]


def test_many_calls_are_few_entries_and_little_is_reserved_ahead() -> None:
    rows, size = 20_000, 10
    log = Log(rows)
    ahead = []

    async def work(journal: WriteAheadLog) -> None:
        batches = iter(range(0, rows, size))

        async def one() -> None:
            for first in batches:
                await journal.reserve(range(first, first + size))
                await asyncio.sleep(0)
                journal.settle(range(first, first + size))
                if first < 10 * size:
                    ahead.append(log.ledger.under_way)

        await asyncio.gather(*(one() for _ in range(8)))

    log.run(work)
    assert log.ledger.complete
    assert len(log.entries) < rows / size / 2
    assert max(ahead) < rows / 2


def test_at_a_low_rate_nothing_is_reserved_ahead() -> None:
    log = Log(1_000)

    async def work(journal: WriteAheadLog) -> None:
        for first in range(0, 200, 10):
            await journal.reserve(range(first, first + 10))
            assert log.ledger.unknown_rows.tolist() == list(range(first, first + 10))
            journal.settle(range(first, first + 10))
            await journal.flush()
            await asyncio.sleep(0.05)

    log.run(work)


def test_nothing_is_reserved_ahead_beyond_the_part_that_is_being_sent() -> None:
    log = Log(10_000)

    async def work(journal: WriteAheadLog) -> None:
        journal.until = 5_000
        for first in range(0, 5_000, 10):
            await journal.reserve(range(first, first + 10))
        assert log.ledger.under_way == 5_000

    log.run(work)
    assert log.ledger.unreserved(range(5_000, 10_000)).tolist() == list(range(5_000, 10_000))


def test_answers_are_counted_over_all_tries() -> None:
    log = Log(10)
    for status in ("201", "429"):
        log.entries.append(TAKE_OVER)
        answers = Counter[str]()

        async def work(journal: WriteAheadLog, status: str = status, answers: Counter[str] = answers) -> None:
            answers["200"] += 1  # such as the catalog's, before any row is sent
            await journal.reserve([0])
            answers[status] += 2
            journal.settle([])
            await journal.flush()
            answers[status] += 1

        log.run(work, answers)
    assert log.ledger.answers == {"200": 2, "201": 3, "429": 3}
