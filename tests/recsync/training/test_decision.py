"""When a training is worth its price, and the reasons given."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from recsync.export.manifest import ExportedObject
from recsync.imports.new_rows import Choice, Piece
from recsync.program import DatasetType, Drift, TrainFull, TrainUpdate
from recsync.program.intervals import Interval
from recsync.training.decision import Situation, decide_full, decide_update, drift

EVENTS = DatasetType.INTERACTIONS
HOUR = Interval(datetime(2026, 5, 1, 9, tzinfo=UTC), datetime(2026, 5, 1, 10, tzinfo=UTC))
NOW = datetime(2026, 5, 20, tzinfo=UTC)
KNOWN = Situation(NOW - timedelta(days=7), NOW - timedelta(days=7), rows_then=50_000, rows_since=9_000)


def pending(events: int, items: int = 0, *, rest_waits: bool = False) -> dict[DatasetType, Choice]:
    def choice(rows: int, *, rest_waits: bool = False) -> Choice:
        source = ExportedObject("key", rows, rows * 10, "digest", "etag")
        pieces = (Piece(HOUR, source, rows, rows * 10, "digest"),) if rows else ()
        return Choice(pieces, rest_waits=rest_waits)

    return {EVENTS: choice(events, rest_waits=rest_waits), DatasetType.ITEMS: choice(items)}


@pytest.mark.parametrize(
    ("events", "items", "new_items", "hours", "settings", "trains", "words"),
    [
        (999, 0, 0, 23, TrainUpdate(), False, "999 new interactions and 0 new items are pending"),
        (1000, 0, 0, 1, TrainUpdate(), True, "min_new_interactions is 1000"),
        (3, 1, 1, 1, TrainUpdate(), True, "1 new items are pending; train_update.min_new_items is 1"),
        (3, 4, 4, 1, TrainUpdate(min_new_items=5), False, "or 5 new items"),
        (3, 4, 4, 1, TrainUpdate(min_new_items=None), False, "needs 1000 interactions."),
        # Items and users that waited long enough go alone.
        (1, 2, 0, 24, TrainUpdate(), True, "have waited since 2026-05-01T10:00"),
        (1, 2, 0, 5, TrainUpdate(max_wait_hours=5), True, "max_wait_hours is 5"),
        (1, 2, 0, 5000, TrainUpdate(max_wait_hours=None), False, "They wait."),
        # Interactions below the service's minimum never go, whatever the program file asks for.
        (999, 0, 0, 5000, TrainUpdate(max_wait_hours=1), False, "for more, or for the next FULL"),
        (999, 0, 0, 1, TrainUpdate(min_new_interactions=5), False, "needs 1000 interactions"),
        (1500, 0, 0, 23, TrainUpdate(min_new_interactions=2000), False, "needs 2000 interactions"),
        (1500, 0, 0, 24, TrainUpdate(min_new_interactions=2000), True, "have waited since"),
    ],
)
def test_an_update_runs_for_new_items_enough_rows_or_age_and_says_which(
    events: int, items: int, new_items: int, hours: int, settings: TrainUpdate, trains: bool, words: str
) -> None:
    now = HOUR.end + timedelta(hours=hours)
    decision = decide_update(pending(events, items), new_items, now, settings)
    assert decision.train is trains
    assert words in decision.why


def test_more_than_one_import_takes_does_not_wait_for_the_programs_minimum() -> None:
    settings = TrainUpdate(min_new_interactions=5000)
    assert decide_update(pending(1000, rest_waits=True), 0, HOUR.end, settings).train
    assert not decide_update(pending(999, rest_waits=True), 0, HOUR.end, settings).train


def test_nothing_is_worth_nothing_however_old() -> None:
    decision = decide_update(pending(0), 0, NOW, TrainUpdate())
    assert not decision.train
    assert "Nothing is pending" in decision.why


@pytest.mark.parametrize(
    ("situation", "settings", "due", "trains", "words"),
    [
        (Situation(None), TrainFull(), True, True, "no FULL training yet"),
        (KNOWN, TrainFull(), True, True, "9000 interactions came"),
        (replace(KNOWN, rows_since=0), TrainFull(), True, False, "only 0 interactions"),
        (replace(KNOWN, rows_since=None), TrainFull(), True, True, "no interval was exported"),
        (KNOWN, TrainFull(min_new_interactions=9_001), True, False, "min_new_interactions is 9001"),
        (KNOWN, TrainFull(drift=Drift()), False, False, "No drift"),
        (replace(KNOWN, new_items_share=0.3), TrainFull(drift=Drift()), False, True, "30% of 9000"),
        (replace(KNOWN, new_items_share=0.3), TrainFull(), False, False, "No drift"),
        (replace(KNOWN, rows_since=50_000), TrainFull(drift=Drift()), False, True, "to the 50000"),
        (
            replace(KNOWN, figure_then=0.4, figure_now=0.3),
            TrainFull(drift=Drift()),
            False,
            True,
            "the champion's figure is 0.3000",
        ),
    ],
)
def test_a_full_training_is_due_or_called_for_by_drift_and_says_which(
    situation: Situation, settings: TrainFull, due: bool, trains: bool, words: str
) -> None:
    decision = decide_full(situation, NOW, settings, due=due)
    assert decision.train is trains
    assert words in decision.why


def test_drift_that_a_full_training_did_not_mend_starts_no_second_one_at_once() -> None:
    drifted = replace(KNOWN, new_items_share=0.9)
    assert drift(drifted, Drift(min_days_between=6), NOW)
    assert drift(drifted, Drift(min_days_between=8), NOW) is None
    assert drift(replace(drifted, rows_since=999), Drift(), NOW) is None, "too few rows to say anything"
