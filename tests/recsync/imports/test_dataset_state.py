from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from recsync.imports.dataset_state import DatasetState, LastFull
from recsync.imports.plans import FullContent, FullPlan, ImportJob, PendingImports, Plan, Taken, UpdatePlan
from recsync.program import DatasetType

FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)
KIND, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
FULL = FullPlan("run", FIVE, {KIND: "full.csv"}, {KIND: {"a": "1"}})
TAKEN = Taken("a", "1", "import.csv")
UPDATE = UpdatePlan("run", "why", "arn", {KIND: "s3://x/"}, {"interactions": 3}, {KIND: (TAKEN,)}, {KIND: ""})


@pytest.mark.parametrize("plan", [FULL, UPDATE])
def test_a_state_is_read_back_as_it_was_written(plan: Plan) -> None:
    last = LastFull(FIVE, "digest", "job", alone=True, snapshot="full.csv", etag="etag")
    job = ImportJob("job", "dataset")
    pending = PendingImports(plan, {KIND: job}, {KIND: FullContent("d", "full.csv", "e")}, {"a": ("k",)})
    state = DatasetState({KIND: last}, {"a": {"ITEMS": "1"}}, {"a": ("k",)}, pending)
    assert DatasetState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_full_import_without_a_job_keeps_the_job_of_the_former_one() -> None:
    former = DatasetState({KIND: LastFull(FIVE, job="former")}, {"b": {KIND.value: "2"}})
    pending = PendingImports(FULL, {}, {KIND: FullContent("d", "full.csv", "e")}, {})
    state = former.after_import(pending, KIND)
    assert state.full[KIND] == LastFull(FIVE, "d", "former", alone=True, snapshot="full.csv", etag="e")
    assert state.intervals == {"a": {KIND.value: "1"}}
    assert state.has_imported(FULL)


def test_an_update_is_imported_once_every_interval_is() -> None:
    state = DatasetState({KIND: LastFull(FIVE)})
    assert not state.has_imported(UPDATE)
    state = state.after_import(PendingImports(UPDATE, {}, {}, {}), KIND)
    assert state.has_imported(UPDATE)
    assert state.objects == {"a": ("import.csv",)}


def test_a_snapshot_matches_until_something_else_is_imported() -> None:
    last = LastFull(FIVE, "d1", "job", alone=True)
    held = DatasetState().after_full(ITEMS, last, known={}, objects={})
    assert held.matches(ITEMS, "d1")
    assert not held.matches(ITEMS, "d2")
    assert not held.matches(KIND, "d1")
    after = held.after_increment(ITEMS, [Taken("a", "d3", "key")])
    assert not after.matches(ITEMS, "d1")
    assert not after.matches(ITEMS, "d3")
    assert after.full[ITEMS].digest == "d3"
