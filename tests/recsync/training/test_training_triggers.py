"""What a bucket says about whether a training is due, drift calls for one, or items are new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from stage_shop import StageShop

from recsync.export.manifest import Manifest
from recsync.export.store import ExportStore, ReportStore
from recsync.imports.dataset_state import DatasetState, LastFull
from recsync.imports.new_rows import Choice, whole
from recsync.imports.store import ImportStore
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.training.training_triggers import drifted, full_needed, new_items

EVENTS, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
FULL_UNTIL = datetime(2026, 11, 22, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = FULL_UNTIL + timedelta(days=7)


def events(count: int) -> list[str]:
    return [f"u{n},i{n},{n}" for n in range(count)]


def trained(shop: StageShop, rows: int = 2000) -> None:
    """Let a FULL training be done: snapshot, import and champion."""
    context = shop.context
    context.store(ImportStore).change(lambda _: DatasetState({EVENTS: LastFull(FULL_UNTIL)}))
    run = "20261122T050000-run"
    exported = shop.put(context.keys.full(run, EVENTS), events(rows))
    context.store(ExportStore).publish_full(run, Manifest(Interval.until(FULL_UNTIL), {EVENTS: exported}))
    shop.promote("1", ndcg=0.5)


def test_a_full_training_is_due_once_rows_came(stage_shop: StageShop) -> None:
    assert full_needed("shop", NOW, due=True).why == "There was no FULL training yet."
    trained(stage_shop)
    assert "nobody knows what is new" in full_needed("shop", NOW, due=True).why
    stage_shop.publish(FULL_UNTIL - HOUR, {EVENTS: events(9)})
    stage_shop.publish(FULL_UNTIL, {EVENTS: []})
    assert not full_needed("shop", NOW, due=True).train
    stage_shop.publish(FULL_UNTIL + HOUR, {EVENTS: events(7)})
    decision = full_needed("shop", NOW, due=True)
    assert decision.train
    assert "7 interactions came" in decision.why, "the hour before the end of the FULL does not count"
    assert not full_needed("shop", NOW, due=False).train


def test_changed_settings_are_a_reason_to_train(stage_shop: StageShop) -> None:
    trained(stage_shop)
    stage_shop.publish(FULL_UNTIL, {EVENTS: []})
    stage_shop.write(personalize={"hyperparameters": {"bptt": 8}})
    decision = full_needed("shop", NOW, due=True)
    assert decision.train
    assert decision.why.startswith(
        "The champion is of solution shop-user-personalization; the program's settings now make it shop-user-"
    )
    assert not full_needed("shop", NOW, due=False).train, "only the schedule looks at settings"


def test_drift_is_looked_for_only_where_the_program_asks(stage_shop: StageShop) -> None:
    trained(stage_shop)
    stage_shop.publish(FULL_UNTIL, {EVENTS: events(2000)})
    assert drifted("shop", NOW) is None
    stage_shop.write(train_full={"drift": {}})
    assert "2000 interactions came to the 2000 it trained on" in (drifted("shop", NOW) or "")
    assert drifted("shop", FULL_UNTIL + timedelta(days=1)) is None, "a FULL training a day ago is enough"


def test_drift_is_found_in_reports_and_in_the_champions_figure(stage_shop: StageShop) -> None:
    trained(stage_shop, rows=9000)
    stage_shop.write(train_full={"drift": {}})
    reports = stage_shop.context.store(ReportStore)
    for hours, rows, share in ((0, 1500, 0.1), (1, 500, 0.9)):
        manifest = stage_shop.publish(FULL_UNTIL + hours * HOUR, {EVENTS: events(rows)})
        key = manifest.objects[EVENTS].key
        reports.put(key, {"figures": {"new_items_share": share}, "exported": rows}, "page")
    assert "30% of 2000 interactions are with items" in (drifted("shop", NOW) or "")
    stage_shop.write(train_full={"drift": {"new_items_share": None}})
    assert drifted("shop", NOW) is None
    stage_shop.promote("2", ndcg=0.3, mode="UPDATE")
    found = drifted("shop", NOW) or ""
    assert "the champion's figure is 0.3000, the last FULL version's was 0.5000" in found


@pytest.mark.parametrize(
    ("imported", "pending", "new"),
    [([1, 2, 3], [2, 3, 4], 1), ([1, 2, 3], [3], 0), ([], [2, 3, 4], 3), ([1], [], 3)],
    ids=["one new", "none new", "imported ones unknown", "pending ones unknown"],
)
def test_items_are_new_when_no_import_had_their_id(
    stage_shop: StageShop, imported: list[int], pending: list[int], new: int
) -> None:
    stage_shop.write(datasets={"items": {}})
    context = stage_shop.context
    reports, snapshot = context.store(ReportStore), context.keys.full("run", ITEMS)
    reports.put_ids(snapshot, np.array(imported, dtype=np.uint64))
    manifest = stage_shop.publish(FULL_UNTIL, {ITEMS: ["i2,a", "i3,a", "i4,a"]})
    reports.put_ids(manifest.objects[ITEMS].key, np.array(pending, dtype=np.uint64))
    state = DatasetState({ITEMS: LastFull(FULL_UNTIL, snapshot=snapshot)})
    assert new_items(context, state, {ITEMS: Choice((whole(manifest, ITEMS),))}) == new
    assert new_items(context, state, {EVENTS: Choice(())}) == 0


def test_ids_of_an_interval_that_is_exported_again_are_compared_with_the_imported_ones(
    stage_shop: StageShop,
) -> None:
    stage_shop.write(datasets={"items": {}})
    context = stage_shop.context
    reports = context.store(ReportStore)
    first = stage_shop.publish(FULL_UNTIL, {ITEMS: ["i1,a"]}).objects[ITEMS]
    reports.put_ids(first.key, np.array([1], dtype=np.uint64))
    reports.keep_ids(first.key, first.digest)
    second = stage_shop.publish(FULL_UNTIL, {ITEMS: ["i1,a", "i2,a"]})
    reports.put_ids(first.key, np.array([1, 2], dtype=np.uint64))
    known = {second.interval.key: {ITEMS.value: first.digest}}
    state = DatasetState({ITEMS: LastFull(FULL_UNTIL)}, known)
    assert new_items(context, state, {ITEMS: Choice((whole(second, ITEMS),))}) == 1
