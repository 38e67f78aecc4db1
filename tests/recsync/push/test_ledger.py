"""The ledger against a dict, one row at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsync.errors import FatalError
from recsync.push.ledger import EntryKind, Ledger, LedgerEntry, Refusal, Status, ranges

ROWS = 30
MOMENT = "2026-11-22T05:00:00+00:00"


@dataclass
class Reference:
    """What the entries so far say, row by row."""

    statuses: dict[int, Status] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    earlier: set[int] = field(default_factory=set)
    now: set[int] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    resent: int = 0
    tries: int = 0

    @property
    def under_way(self) -> list[int]:
        return [row for row in sorted(self.earlier | self.now) if row not in self.statuses]

    def take_over(self) -> None:
        self.tries += 1
        self.earlier, self.now = self.earlier | self.now, set()

    def send(self, rows: set[int]) -> None:
        self.resent += len((rows & self.earlier) - self.now - self.statuses.keys())
        self.now |= rows

    def settle(self, row: int, status: Status, reason: str) -> None:
        self.statuses[row] = status
        if status != Status.TAKEN:
            self.reasons[row] = reason


@st.composite
def histories(draw: st.DrawFn) -> tuple[Reference, list[LedgerEntry]]:
    """Let tries begin, reserve some rows, and settle some of those that are reserved."""
    reference, entries = Reference(), []
    for _ in range(draw(st.integers(0, 12))):
        if draw(st.integers(0, 3)) == 0:
            reference.take_over()
            entries.append(LedgerEntry(EntryKind.TAKE_OVER, MOMENT, "try"))
            continue
        settled: dict[Status, list[int]] = {status: [] for status in Status}
        own = [row for row in reference.under_way if row in reference.now]
        for row in draw(st.lists(st.sampled_from(own), unique=True)) if own else []:
            settled[draw(st.sampled_from([Status.TAKEN, Status.TAKEN, Status.REJECTED, Status.DEAD]))].append(
                row
            )
        open_rows = [row for row in range(ROWS) if row not in reference.statuses]
        sending = draw(st.sets(st.sampled_from(open_rows))) if open_rows else set()
        sending -= {row for rows in settled.values() for row in rows}
        reference.send(sending)
        reason = draw(st.text(max_size=5))
        for status, rows in settled.items():
            for row in rows:
                reference.settle(row, status, reason)
        answers = draw(st.dictionaries(st.sampled_from(["201", "429"]), st.integers(1, 9)))
        reference.answers.update(answers)
        entries.append(
            LedgerEntry(
                EntryKind.PROGRESS,
                MOMENT,
                "try",
                sending=ranges([list(sending)]),
                taken=ranges([settled[Status.TAKEN]]),
                rejected=tuple(Refusal(row, reason) for row in settled[Status.REJECTED]),
                dead=tuple(Refusal(row, reason) for row in settled[Status.DEAD]),
                answers=answers,
            )
        )
    return reference, entries


@settings(deadline=None, max_examples=200)
@given(histories())
def test_a_ledger_says_what_happened_to_every_row(history: tuple[Reference, list[LedgerEntry]]) -> None:
    reference, entries = history
    # As it lies on S3: each entry an object of its own.
    ledger = Ledger.of(
        ROWS, [LedgerEntry.parse(json.loads(json.dumps(entry.as_json()))) for entry in entries]
    )
    assert {row: Status(s) for row, s in enumerate(ledger.statuses) if s} == reference.statuses
    assert ledger.reasons == reference.reasons
    assert (ledger.resent, ledger.tries) == (reference.resent, reference.tries)
    assert ledger.answers == reference.answers
    assert ledger.unreserved(range(ROWS)).tolist() == [row for row in range(ROWS) if row not in reference.now]
    assert ledger.open_rows.tolist() == [row for row in range(ROWS) if row not in reference.statuses]
    assert ledger.under_way == len(reference.under_way)
    dead = {row for row, status in reference.statuses.items() if status == Status.DEAD}
    assert ledger.unknown_rows.tolist() == sorted(dead | set(reference.under_way))
    assert ledger.complete == (len(reference.statuses) == ROWS)
    assert sum(map(ledger.count, Status)) == ROWS
    assert ledger.closed_by == ""


@given(histories())
def test_entries_survive_json(history: tuple[Reference, list[LedgerEntry]]) -> None:
    for entry in history[1]:
        assert LedgerEntry.parse(json.loads(json.dumps(entry.as_json()))) == entry


@given(st.sets(st.integers(0, 80)), st.randoms(use_true_random=False), st.integers(0, 80))
def test_ranges_hold_exactly_the_rows_and_are_as_few_as_can_be(rows: set[int], random: Any, cut: int) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    found = ranges([shuffled[:cut], shuffled[cut:]])
    assert [row for first, end in found for row in range(first, end)] == sorted(rows)
    assert all(before[1] < after[0] for before, after in pairwise(found))
    assert all(first < end for first, end in found)


def test_ranges_join_calls_that_touch_or_come_twice() -> None:
    calls = [
        range(75, 150),
        [150],
        range(75),
        range(75, 150),
        range(140, 145),
        range(160, 160),
        range(170, 175),
    ]
    assert ranges(calls) == ((0, 151), (170, 175))


@pytest.mark.parametrize("rows", [range(2, 6), [2, 3, 4, 5]])
def test_only_rows_that_this_try_has_not_reserved_are_missing(rows: Sequence[int]) -> None:
    ledger = Ledger.of(8, [LedgerEntry(EntryKind.PROGRESS, MOMENT, sending=((0, 4),))])
    assert ledger.unreserved(rows).tolist() == [4, 5]
    ledger.apply(LedgerEntry(EntryKind.PROGRESS, MOMENT, sending=((4, 8),)))
    assert ledger.unreserved(rows).tolist() == []


def test_a_closed_ledger_names_who_closed_it() -> None:
    entries = [
        LedgerEntry(EntryKind.PROGRESS, MOMENT, sending=((0, 2),)),
        LedgerEntry(EntryKind.CLOSED, MOMENT, by="newer"),
    ]
    ledger = Ledger.of(3, [LedgerEntry.parse(entry.as_json()) for entry in entries])
    assert ledger.closed_by == "newer"
    assert ledger.unknown_rows.tolist() == [0, 1]


def test_a_ledger_that_an_older_version_began_is_read_on() -> None:
    older = [
        {"kind": "take_over", "at": MOMENT, "by": "first"},
        {"kind": "progress", "at": MOMENT, "by": "first", "permitted": 8, "taken": [[0, 3]]},
        {"kind": "take_over", "at": MOMENT, "by": "second", "permitted": 8, "resent": 5},
        {"kind": "progress", "at": MOMENT, "by": "second", "permitted": 8, "taken": [[3, 5]]},
    ]
    ledger = Ledger.of(10, map(LedgerEntry.parse, older))
    assert (ledger.tries, ledger.resent) == (2, 5)
    assert ledger.unknown_rows.tolist() == [5, 6, 7]
    ledger.apply(LedgerEntry(EntryKind.TAKE_OVER, MOMENT, "third"))
    ledger.apply(LedgerEntry(EntryKind.PROGRESS, MOMENT, "third", sending=((6, 9),)))
    assert ledger.resent == 7, "rows 6 and 7 are sent again, row 8 for the first time"
    assert ledger.unknown_rows.tolist() == [5, 6, 7, 8]


def test_an_empty_plan_is_complete() -> None:
    ledger = Ledger.of(0, [])
    assert ledger.complete
    assert ledger.unknown_rows.tolist() == []
    assert ledger.statuses.dtype == np.int8


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kind": "progress"},
        {"kind": "who knows", "at": MOMENT},
        {"kind": "progress", "at": MOMENT, "taken": [[1]]},
        {"kind": "progress", "at": MOMENT, "taken": [1]},
        {"kind": "progress", "at": MOMENT, "rejected": [{"row": 1}]},
        {"kind": "progress", "at": MOMENT, "permitted": "x"},
        {"kind": "progress", "at": MOMENT, "sending": [[1]]},
        {"kind": "progress", "at": MOMENT, "answers": [1]},
        {"kind": "progress", "at": MOMENT, "dead": [7]},
        [],
        None,
    ],
)
def test_a_damaged_entry_is_named(document: Any) -> None:
    with pytest.raises(FatalError, match="damaged"):
        LedgerEntry.parse(document)
