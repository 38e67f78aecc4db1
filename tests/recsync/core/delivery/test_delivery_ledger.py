"""The ledger against a dict, one row at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsync.core.delivery.ledger import Entry, Kind, Ledger, Refusal, Status, ranges
from recsync.errors import FatalError

ROWS = 30
MOMENT = "2026-11-22T05:00:00+00:00"


@dataclass
class Reference:
    """What the entries so far say, row by row."""

    statuses: dict[int, Status] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    permitted: int = 0
    resent: int = 0
    tries: int = 0

    @property
    def under_way(self) -> list[int]:
        return [row for row in range(self.permitted) if row not in self.statuses]

    def settle(self, row: int, status: Status, reason: str) -> None:
        self.statuses[row] = status
        if status != Status.TAKEN:
            self.reasons[row] = reason


@st.composite
def histories(draw: st.DrawFn) -> tuple[Reference, list[Entry]]:
    """Let tries begin, permit ever more rows, and settle some of those that are permitted."""
    reference, entries = Reference(), []
    for _ in range(draw(st.integers(0, 12))):
        if draw(st.integers(0, 3)) == 0:
            resent = len(reference.under_way)
            reference.tries += 1
            reference.resent += resent
            entries.append(Entry(Kind.TAKE_OVER, MOMENT, "try", permitted=reference.permitted, resent=resent))
            continue
        settled: dict[Status, list[int]] = {status: [] for status in Status}
        for row in (
            draw(st.lists(st.sampled_from(reference.under_way), unique=True)) if reference.under_way else []
        ):
            settled[draw(st.sampled_from([Status.TAKEN, Status.TAKEN, Status.REJECTED, Status.DEAD]))].append(
                row
            )
        reference.permitted = draw(st.integers(reference.permitted, ROWS))
        reason = draw(st.text(max_size=5))
        for status, rows in settled.items():
            for row in rows:
                reference.settle(row, status, reason)
        entries.append(
            Entry(
                Kind.PROGRESS,
                MOMENT,
                "try",
                permitted=reference.permitted,
                taken=ranges(settled[Status.TAKEN]),
                rejected=tuple(Refusal(row, reason) for row in settled[Status.REJECTED]),
                dead=tuple(Refusal(row, reason) for row in settled[Status.DEAD]),
            )
        )
    return reference, entries


@settings(deadline=None, max_examples=200)
@given(histories())
def test_a_ledger_says_what_happened_to_every_row(history: tuple[Reference, list[Entry]]) -> None:
    reference, entries = history
    # As it lies on S3: each entry an object of its own.
    ledger = Ledger.of(ROWS, [Entry.parse(json.loads(json.dumps(entry.as_json()))) for entry in entries])
    assert {row: Status(s) for row, s in enumerate(ledger.statuses) if s} == reference.statuses
    assert ledger.reasons == reference.reasons
    assert (ledger.permitted, ledger.resent, ledger.tries) == (
        reference.permitted,
        reference.resent,
        reference.tries,
    )
    assert ledger.open_rows.tolist() == [row for row in range(ROWS) if row not in reference.statuses]
    assert ledger.under_way == len(reference.under_way)
    dead = {row for row, status in reference.statuses.items() if status == Status.DEAD}
    assert ledger.unknown_rows.tolist() == sorted(dead | set(reference.under_way))
    assert ledger.complete == (len(reference.statuses) == ROWS)
    assert sum(map(ledger.count, Status)) == ROWS
    assert ledger.closed_by == ""


@given(histories())
def test_entries_survive_json(history: tuple[Reference, list[Entry]]) -> None:
    for entry in history[1]:
        assert Entry.parse(json.loads(json.dumps(entry.as_json()))) == entry


@given(st.sets(st.integers(0, 80)), st.randoms(use_true_random=False))
def test_ranges_hold_exactly_the_rows_and_are_as_few_as_can_be(rows: set[int], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    found = ranges(shuffled)
    assert [row for first, end in found for row in range(first, end)] == sorted(rows)
    assert all(before[1] < after[0] for before, after in pairwise(found))
    assert all(first < end for first, end in found)


def test_a_closed_ledger_names_who_closed_it() -> None:
    entry = Entry(Kind.CLOSED, MOMENT, by="newer", permitted=2)
    ledger = Ledger.of(3, [Entry.parse(entry.as_json())])
    assert ledger.closed_by == "newer"
    assert ledger.unknown_rows.tolist() == [0, 1]


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
        {"kind": "progress", "at": MOMENT, "dead": [7]},
        [],
        None,
    ],
)
def test_a_damaged_entry_is_named(document: Any) -> None:
    with pytest.raises(FatalError, match="damaged"):
        Entry.parse(document)
