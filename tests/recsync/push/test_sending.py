"""Sending against a Braze that answers in every way it can, over several connections and tries."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from braze_client.answers import TrackResult, read_track
from braze_client.client import BrazeClient
from braze_client.errors import BrazeDenied, BrazeRefused, BrazeUnclear, TrackError
from braze_client.rate_plan import RatePlan
from recsync.errors import RETRIABLE, FatalError, RetriableError
from recsync.push import read_back
from recsync.push.ledger import EntryKind, Ledger, LedgerEntry, Status
from recsync.push.sending import MIN_REJECTED, OUTAGE_CALLS, CircuitBreaker, Sender
from recsync.push.write_ahead_log import WriteAheadLog
from recsync.push.writes import Batch

# How Braze speaks of the objects it does not like. In the last two it takes none of the call.
NAMING = (
    "placed",
    "placed twice",
    "not placed",
    "out of range",
    "some placed",
    "no counts",
    "fewer",
    "named, counted, not applied",
    "refused, named",
    "refused, unnamed",
)
WAITS = (0, 0)


@pytest.fixture(scope="module", autouse=True)
def _no_waits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_back, "WAITS_SECONDS", WAITS)
        yield


@dataclass
class World:
    """Braze and S3: what they took, whatever the sender believes.

    :param bad: rows that Braze does not like.
    :param poison: rows that make a call end without a clear answer.
    :param flaky: share of the calls without a clear answer, half of them after Braze took everything.
    :param unreadable: share of the calls that are answered with a 2xx without JSON, half of them taken.
    :param may_read: whether the key may read people back.
    :param outage_after: calls after which Braze answers nothing any more.
    :param append_fails: numbers of the writes to S3 that fail; those in ``append_lies`` after S3 took the entry.
    """

    rows: int
    bad: frozenset[int] = frozenset()
    poison: frozenset[int] = frozenset()
    naming: str = "placed"
    flaky: float = 0.0
    unreadable: float = 0.0
    may_read: bool = True
    outage_after: float = math.inf
    append_fails: frozenset[int] = frozenset()
    append_lies: bool = False
    connections: int = 3
    batch_rows: int = 8
    share: float = 1.0
    seed: int = 0
    entries: list[LedgerEntry] = field(default_factory=list)
    calls: list[tuple[int, ...]] = field(default_factory=list)
    clear: list[bool] = field(default_factory=list)
    taken: Counter[int] = field(default_factory=Counter)
    unreadable_alone: Counter[int] = field(default_factory=Counter)
    appends: int = 0
    reads: int = 0

    def __post_init__(self) -> None:
        self.plan = RatePlan(connections=self.connections)
        self.random = random.Random(self.seed)

    def append(self, number: int, entry: LedgerEntry) -> None:
        self.appends += 1
        failing = self.appends in self.append_fails
        if failing and not self.append_lies:
            raise RetriableError("S3 failed")
        assert number == len(self.entries)
        self.entries.append(LedgerEntry.parse(entry.as_json()))
        if failing:
            raise RetriableError("S3 took it, and the answer was lost")

    async def track_attributes(
        self, objects: Sequence[bytes], before_sending: Callable[[], Awaitable[None]] | None = None
    ) -> TrackResult:
        rows = tuple(int(json.loads(rendered)["external_id"]) for rendered in objects)
        if not rows:  # a question whether anybody is there
            if len(self.calls) > self.outage_after:
                raise BrazeUnclear("nobody there")
            if self.unreadable == 1:
                return read_track(None, 0)
            raise BrazeRefused("nobody in it", status=400, errors=())
        assert before_sending is not None
        await before_sending()
        assert not len(self.ledger().unreserved(rows)), "sent before it was reserved"
        assert len(set(rows)) == len(rows) <= self.batch_rows
        self.calls.append(rows)
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        is_clear = len(self.calls) <= self.outage_after and not self.poison & set(rows)
        if is_clear and self.random.random() < self.flaky:
            is_clear = False
            if self.random.random() < 0.5:
                self.taken.update(set(rows) - self.bad)
        self.clear.append(is_clear)
        if not is_clear:
            raise BrazeUnclear("no clear answer")
        if self.random.random() < self.unreadable:
            self.unreadable_alone.update(rows if len(rows) == 1 else ())
            if self.naming == "unreadable, taken" or self.random.random() < 0.5:
                self.taken.update(set(rows) - self.bad)
            return read_track(None, len(rows))
        return self._answer(rows)

    async def export_users(
        self, external_ids: Sequence[str], fields: Sequence[str], by: Any
    ) -> list[dict[str, Any]]:
        self.reads += 1
        if not self.may_read:
            raise BrazeDenied("403: no permission", status=403)
        await asyncio.sleep(0)
        return [
            {"external_id": who, "custom_attributes": {"recs": [who]} if int(who) in self.taken else {}}
            for who in external_ids
        ]

    def _answer(self, rows: tuple[int, ...]) -> TrackResult:
        bad = [index for index, row in enumerate(rows) if row in self.bad]
        placed = [{"type": "bad", "input_array": "attributes", "index": i} for i in bad]
        if bad and self.naming.startswith("refused"):
            named = bad if self.naming == "refused, named" else []
            raise BrazeRefused("refused", status=400, errors=tuple(TrackError(i, "bad") for i in named))
        self.taken.update(rows if self.naming == "named, counted, applied" else set(rows) - self.bad)
        document: dict[str, Any] = {"message": "success", "attributes_processed": len(rows) - len(bad)}
        match self.naming:
            case "placed twice":
                document["errors"] = placed + placed
            case "not placed":
                document["errors"] = [{"type": "bad"} for _ in bad]
            case "out of range":
                document["errors"] = [{**error, "index": len(rows) + error["index"]} for error in placed]
            case "some placed":
                document["errors"] = [e if n % 2 else {"type": "bad"} for n, e in enumerate(placed)]
            case "no counts":
                document = {"message": "success", "errors": placed}
            case "fewer":
                pass
            case "named, counted, applied" | "named, counted, not applied":
                document |= {"attributes_processed": len(rows), "errors": placed}
            case _:
                document["errors"] = placed
        return read_track(document, len(rows))

    def ledger(self) -> Ledger:
        return Ledger.of(self.rows, self.entries)

    def run(self) -> None:
        """Make one try, as a task would: whatever it has in memory dies with it."""
        self.entries.append(LedgerEntry(EntryKind.TAKE_OVER, "now", "me"))
        asyncio.run(self._run(self.ledger()))

    async def _run(self, ledger: Ledger) -> None:
        journal = WriteAheadLog(ledger, len(self.entries), self.append, token="me")
        writing = asyncio.create_task(journal.run())
        try:
            sender = Sender(
                cast(BrazeClient, self), journal, CircuitBreaker(self.share), objects=len(ledger.open_rows)
            )
            await sender.send(self._batches(ledger.open_rows.tolist()))
        finally:
            journal.close()
            await writing
        journal.raise_error()

    def _batches(self, rows: list[int]) -> Iterator[Batch]:
        for first in range(0, len(rows), self.batch_rows):
            cut = tuple(rows[first : first + self.batch_rows])
            yield Batch(cut, tuple(b'{"external_id":"%d","recs":["%d"]}' % (row, row) for row in cut))

    def rows_of(self, status: Status) -> set[int]:
        return {row for row, s in enumerate(self.ledger().statuses) if s == status}

    def check_settled_once(self) -> None:
        """Nobody is settled twice, and whoever is settled as taken was taken."""
        settled: Counter[int] = Counter()
        for entry in self.entries:
            settled.update(row for first, end in entry.taken for row in range(first, end))
            settled.update(refusal.row for refusal in (*entry.rejected, *entry.dead))
        assert not [row for row, times in settled.items() if times > 1]
        assert self.rows_of(Status.TAKEN) <= set(self.taken)
        assert self.rows_of(Status.REJECTED) <= self.bad, "somebody whom Braze took was called rejected"
        assert set(settled) | set(self.ledger().open_rows.tolist()) == set(range(self.rows))


def worlds(**fixed: Any) -> st.SearchStrategy[World]:
    rows = st.shared(st.integers(0, 60), key="rows")
    some = rows.flatmap(
        lambda n: st.frozensets(st.integers(0, n - 1), max_size=8) if n else st.just(frozenset())
    )
    return st.builds(
        World,
        rows=rows,
        **{
            "bad": some,
            "naming": st.sampled_from(NAMING),
            "may_read": st.just(True),
            "connections": st.integers(1, 5),
            "batch_rows": st.sampled_from([1, 2, 5, 8, 75]),
            "seed": st.integers(0, 1_000),
            **fixed,
        },
    )


FEW_ROWS = st.frozensets(st.integers(0, 59), max_size=3)


@settings(deadline=None, max_examples=150)
@given(worlds())
def test_the_bad_stand_alone_and_everybody_else_is_taken(world: World) -> None:
    world.run()
    world.check_settled_once()
    assert world.rows_of(Status.REJECTED) == world.bad
    assert world.rows_of(Status.TAKEN) == set(range(world.rows)) - world.bad
    assert len(world.calls) <= most_calls(world)


def most_calls(world: World) -> int:
    """Halve until the bad one stands alone: two calls on each level for each of them."""
    size = min(world.batch_rows, max(world.rows, 1))
    levels = math.ceil(math.log2(size)) + 1
    return math.ceil(world.rows / world.batch_rows) + len(world.bad) * 2 * levels


@pytest.mark.parametrize(
    "naming",
    ["placed", "placed twice", "no counts", "named, counted, applied", "named, counted, not applied"],
)
def test_when_every_error_names_its_object_nobody_is_sent_twice(naming: str) -> None:
    world = World(75, bad=frozenset({3, 40, 74}), naming=naming, batch_rows=75)
    world.run()
    assert len(world.calls) == 1
    assert max(world.taken.values()) == 1
    rejected = set() if naming == "named, counted, applied" else world.bad
    assert world.rows_of(Status.REJECTED) == rejected
    assert world.rows_of(Status.TAKEN) == set(range(75)) - rejected
    assert (world.reads > 0) == ("counted" in naming or "counts" in naming)


def test_one_named_and_counted_person_in_each_of_many_calls_is_no_outage() -> None:
    world = World(400, bad=frozenset(range(0, 400, 10)), naming="named, counted, applied", batch_rows=10)
    world.run()
    assert world.rows_of(Status.TAKEN) == set(range(400))
    assert len(world.calls) == 40


@pytest.mark.parametrize("naming", ["not placed", "out of range", "fewer"])
def test_who_is_meant_by_an_error_without_a_place_is_read_back_and_not_guessed(naming: str) -> None:
    world = World(75, bad=frozenset({3}), naming=naming, batch_rows=75)
    world.run()
    assert [len(call) for call in world.calls] == [75, 1]
    assert world.rows_of(Status.REJECTED) == {3}
    assert max(world.taken.values()) == 1


@settings(deadline=None, max_examples=100)
@given(worlds(may_read=st.just(False)))
def test_without_the_right_to_read_back_nobody_is_lost_either(world: World) -> None:
    world.run()
    world.check_settled_once()
    told = {"fewer", "no counts", "named, counted, not applied"}
    assert world.rows_of(Status.DEAD if world.naming in told else Status.REJECTED) == world.bad
    assert world.rows_of(Status.TAKEN) == set(range(world.rows)) - world.bad


@settings(deadline=None, max_examples=100)
@given(worlds(unreadable=st.sampled_from([0.05, 0.3])))
def test_answers_without_json_lose_nobody(world: World) -> None:
    finish(world)
    world.check_settled_once()
    dead = world.rows_of(Status.DEAD)
    assert world.rows_of(Status.REJECTED) | dead >= world.bad
    assert world.rows_of(Status.TAKEN) >= set(range(world.rows)) - world.bad - dead
    assert all(world.unreadable_alone[row] >= 3 for row in dead - world.bad), (
        "given up after three such answers"
    )


def test_a_braze_that_never_answers_with_json_is_read_back() -> None:
    world = World(200, naming="unreadable, taken", unreadable=1.0, batch_rows=10)
    world.run()
    assert world.rows_of(Status.TAKEN) == set(range(200))
    assert max(world.taken.values()) == 1


@pytest.mark.parametrize("rows", [7, 10_000])
def test_a_login_page_in_place_of_braze_stops_the_delivery_soon(rows: int) -> None:
    class Intercepted(World):
        async def track_attributes(self, objects: Sequence[bytes], before_sending: Any = None) -> TrackResult:
            if objects:
                await before_sending()
                self.calls.append(tuple(range(len(objects))))
            return read_track(None, len(objects))

    world = Intercepted(rows, connections=4)
    with pytest.raises(BrazeUnclear, match="login page"):
        world.run()
    assert len(world.calls) <= OUTAGE_CALLS + world.connections
    assert len(world.ledger().open_rows) == rows


def test_what_braze_shows_in_part_is_unknown() -> None:
    class Partly(World):
        async def export_users(
            self, external_ids: Sequence[str], fields: Any, by: Any
        ) -> list[dict[str, Any]]:
            return [{"external_id": who, "custom_attributes": {"recs": [who]}} for who in external_ids]

        def _batches(self, rows: list[int]) -> Iterator[Batch]:
            for batch in super()._batches(rows):
                yield Batch(batch.rows, tuple(o[:-1] + b',"recs_tier":"personal"}' for o in batch.objects))

    world = Partly(8, bad=frozenset({2}), naming="named, counted, applied")
    world.run()
    assert world.rows_of(Status.DEAD) == {2}
    assert world.ledger().unknown_rows.tolist() == [2]


def test_a_refused_call_that_names_its_bad_ones_is_sent_once_more_without_them() -> None:
    world = World(75, bad=frozenset({3, 40, 74}), naming="refused, named", batch_rows=75)
    world.run()
    assert [len(call) for call in world.calls] == [75, 72]


@settings(deadline=None, max_examples=120)
@given(worlds(poison=FEW_ROWS, bad=st.just(frozenset())))
@example(World(1, poison=frozenset({0}), batch_rows=1))
@example(World(40, poison=frozenset({0, 1, 2}), batch_rows=75))
def test_what_spoils_a_call_is_given_up_alone(world: World) -> None:
    poison = {row for row in world.poison if row < world.rows}
    world.poison = frozenset(poison)
    world.run()
    world.check_settled_once()
    assert world.rows_of(Status.DEAD) == poison
    assert world.rows_of(Status.TAKEN) == set(range(world.rows)) - poison


@settings(deadline=None, max_examples=150)
@given(worlds(flaky=st.sampled_from([0.05, 0.3]), poison=FEW_ROWS))
def test_nobody_is_lost_whatever_braze_says(world: World) -> None:
    finish(world)
    world.check_settled_once()
    alone = {
        call[0] for call, clear in zip(world.calls, world.clear, strict=True) if len(call) == 1 and not clear
    }
    assert world.rows_of(Status.DEAD) <= alone
    spoiled = {row for row in world.poison if row < world.rows}
    assert spoiled <= world.rows_of(Status.DEAD) | world.rows_of(Status.REJECTED)
    assert world.rows_of(Status.TAKEN) >= set(range(world.rows)) - world.bad - alone


@settings(deadline=None, max_examples=80)
@given(worlds(outage_after=st.integers(0, 20), poison=FEW_ROWS))
# The outage begins after the first half was answered.
@example(
    World(
        4,
        bad=frozenset({0}),
        poison=frozenset({2}),
        naming="not placed",
        outage_after=2,
        connections=1,
        batch_rows=5,
    )
)
def test_in_an_outage_nobody_is_given_up_and_the_retry_goes_on(world: World) -> None:
    try:
        world.run()
    except RETRIABLE:
        assert not all(world.clear)
    else:
        assert not len(world.ledger().open_rows)
    world.check_settled_once()
    dead = world.rows_of(Status.DEAD)
    assert dead <= world.poison
    world.outage_after = math.inf
    finish(world)
    world.check_settled_once()
    assert world.rows_of(Status.DEAD) == {row for row in world.poison if row < world.rows} | dead


def test_an_outage_ends_soon() -> None:
    world = World(10_000, outage_after=0, connections=4)
    with pytest.raises(RETRIABLE):
        world.run()
    assert len(world.calls) <= OUTAGE_CALLS + world.connections
    assert len(world.ledger().open_rows) == 10_000


@settings(deadline=None, max_examples=120)
@given(
    worlds(
        flaky=st.sampled_from([0.0, 0.1]),
        append_fails=st.frozensets(st.integers(1, 12), max_size=5),
        append_lies=st.booleans(),
    )
)
def test_when_the_ledger_cannot_be_written_the_try_stops_and_nobody_is_lost(world: World) -> None:
    while len(world.ledger().open_rows):
        before, failed = len(world.calls), False
        try:
            world.run()
        except RETRIABLE:
            failed = True
        assert failed or not len(world.ledger().open_rows), "a try that left somebody open must not end well"
        assert len(world.calls) <= before + 2 * most_calls(world) + 2 * world.rows + OUTAGE_CALLS
    world.check_settled_once()


def finish(world: World) -> None:
    for _ in range(60):
        if not len(world.ledger().open_rows):
            return
        try:
            world.run()
        except BrazeUnclear:
            continue
        assert not len(world.ledger().open_rows)
    raise AssertionError("the retries come to no end")


def test_a_delivery_stops_when_too_many_are_refused() -> None:
    world = World(1_000, bad=frozenset(range(0, 1_000, 2)), share=0.05, batch_rows=10, connections=2)
    with pytest.raises(FatalError, match=r"max_rejected_share.*'bad'"):
        world.run()
    assert len(world.rows_of(Status.REJECTED)) <= 3 * MIN_REJECTED
    assert len(world.calls) < 10
    world.check_settled_once()


def test_a_handful_of_bad_records_does_not_stop_a_small_delivery() -> None:
    world = World(20, bad=frozenset(range(MIN_REJECTED)), share=0.0)
    world.run()
    assert len(world.rows_of(Status.REJECTED)) == MIN_REJECTED


def test_a_refused_key_stops_everything_at_once() -> None:
    class Denying(World):
        async def track_attributes(self, objects: Sequence[bytes], before_sending: Any = None) -> TrackResult:
            self.calls.append(tuple(range(len(objects))))
            raise BrazeDenied("401: check the key", status=401)

    world = Denying(1_000, connections=4)
    with pytest.raises(BrazeDenied, match="401"):
        world.run()
    assert len(world.calls) <= 4
    assert len(world.ledger().open_rows) == 1_000


def test_nothing_to_send_is_no_call() -> None:
    world = World(0)
    world.run()
    assert world.calls == []
    assert len(world.entries) == 1
