"""What an UPDATE imports, and the reasons to train nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from stage_shop import SOLUTION_ARN, StageShop

from recsync.imports import store
from recsync.imports.dataset_state import DatasetState, LastFull
from recsync.imports.plans import ImportJob, PendingImports, StreamPlan, read_plan
from recsync.imports.store import ImportStore
from recsync.program import DatasetType
from recsync.training.update_plan import NothingToTrain, plan_stream, plan_update

EVENTS, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
FULL_UNTIL = datetime(2026, 11, 22, 5, tzinfo=UTC)
NEXT, AFTER_NEXT = FULL_UNTIL, FULL_UNTIL + timedelta(hours=1)
NOW = FULL_UNTIL + timedelta(hours=2, minutes=10)


def events(count: int) -> list[str]:
    return [f"u{n},i{n},{n}" for n in range(count)]


def trained(shop: StageShop, *kinds: DatasetType) -> None:
    """Let a FULL training be done: imports and champion."""
    full = {kind: LastFull(FULL_UNTIL) for kind in (EVENTS, *kinds)}
    shop.context.store(ImportStore).change(lambda _: DatasetState(full))
    shop.promote("1")


def plan(run: str = "run") -> dict[str, Any]:
    return plan_update("shop", run, NOW)


def test_nothing_is_trained_before_the_first_full_training(stage_shop: StageShop) -> None:
    with pytest.raises(NothingToTrain, match="no FULL import yet"):
        plan()
    stage_shop.context.store(ImportStore).change(lambda _: DatasetState({EVENTS: LastFull(FULL_UNTIL)}))
    with pytest.raises(NothingToTrain, match="There is no champion yet"):
        plan()
    stage_shop.promote("1")
    with pytest.raises(NothingToTrain, match="Nothing is pending"):
        plan()
    stage_shop.write(personalize={"recipe": "aws-user-personalization-v2"})
    with pytest.raises(NothingToTrain, match=r"aws-user-personalization-v2 knows no trainingMode=UPDATE"):
        plan()


def test_any_row_is_worth_a_stream_whatever_the_recipe(stage_shop: StageShop) -> None:
    v2 = {"recipe": "aws-user-personalization-v2", "update_by": "events"}
    stage_shop.write(personalize=v2, datasets={"items": {}})
    with pytest.raises(NothingToTrain, match="no FULL import yet"):
        plan_stream("shop", "run", NOW)
    stage_shop.context.store(ImportStore).change(
        lambda _: DatasetState({EVENTS: LastFull(FULL_UNTIL), ITEMS: LastFull(FULL_UNTIL)})
    )
    stage_shop.publish(NEXT, {EVENTS: events(1), ITEMS: ["i1,fruit"]})
    with pytest.raises(NothingToTrain, match="no champion yet"):
        plan_stream("shop", "run", NOW)
    stage_shop.promote("1")
    published = stage_shop.publish(AFTER_NEXT, {EVENTS: events(2)})
    document = plan_stream("shop", "run", NOW)
    planned = StreamPlan.from_json(document)
    assert plan_stream("shop", "run", NOW) == document
    assert planned.rows == {"interactions": 3, "items": 1}
    assert [len(planned.taken[kind]) for kind in (EVENTS, ITEMS)] == [2, 1]
    bucket = stage_shop.context.bucket
    assert bucket.get(planned.taken[EVENTS][1].key) == bucket.get(published.objects[EVENTS].key)
    store = stage_shop.context.store(ImportStore)
    for kind, taken in planned.taken.items():
        store.change(lambda now, kind=kind, taken=taken: now.after_increment(kind, taken))  # type: ignore[misc]  # bound now
    with pytest.raises(NothingToTrain, match="Nothing is pending"):
        plan_stream("shop", "run", NOW)


def test_of_a_streamed_interval_only_rows_that_arrived_late_are_streamed_again(stage_shop: StageShop) -> None:
    stage_shop.write(personalize={"update_by": "events"})
    trained(stage_shop)
    stage_shop.publish(NEXT, {EVENTS: events(3)})
    first = StreamPlan.from_json(plan_stream("shop", "run", NOW))
    store = stage_shop.context.store(ImportStore)
    store.change(lambda now: now.after_increment(EVENTS, first.taken[EVENTS]))
    stage_shop.publish(NEXT, {EVENTS: [*events(3), "late,i1,9"]})
    again = StreamPlan.from_json(plan_stream("shop", "next", NOW))
    assert again.rows == {"interactions": 1}
    body = stage_shop.context.bucket.get(again.taken[EVENTS][0].key) or b""
    assert body.decode().splitlines()[1:] == ["late,i1,9"]


def test_too_few_interactions_wait(stage_shop: StageShop) -> None:
    trained(stage_shop)
    stage_shop.publish(NEXT, {EVENTS: events(999)})
    with pytest.raises(NothingToTrain, match="999 new interactions and 0 new items are pending"):
        plan()
    assert stage_shop.context.bucket.keys(stage_shop.context.keys.all_imports) == []


def test_pending_intervals_go_into_one_folder_and_a_retry_does_the_same(stage_shop: StageShop) -> None:
    trained(stage_shop)
    published = [stage_shop.publish(start, {EVENTS: events(600)}) for start in (NEXT, AFTER_NEXT)]
    document = plan()
    planned = read_plan(document)
    assert planned.mode == document["mode"] == "UPDATE"
    assert document["solution_arn"] == SOLUTION_ARN
    assert document["rows"] == {"interactions": 1200}
    assert "1200 new interactions" in document["why"]
    taken = document["taken"]["INTERACTIONS"]
    assert [each["digest"] for each in taken] == [m.objects[EVENTS].digest for m in published]
    bucket = stage_shop.context.bucket
    for each, manifest in zip(taken, published, strict=True):
        assert bucket.uri(each["key"]).startswith(document["locations"]["INTERACTIONS"])
        assert bucket.get(each["key"]) == bucket.get(manifest.objects[EVENTS].key)
    assert plan() == document

    stage_shop.publish(AFTER_NEXT, {EVENTS: events(700)})
    assert plan()["run"] != document["run"], "other rows get another folder"


def test_a_new_item_goes_with_its_dataset_alone(stage_shop: StageShop) -> None:
    stage_shop.write(datasets={"items": {}})
    trained(stage_shop, ITEMS)
    stage_shop.publish(NEXT, {EVENTS: events(5), ITEMS: ["i1,fruit"]})
    document = plan()
    assert document["rows"] == {"interactions": 0, "items": 1}
    assert document["locations"]["INTERACTIONS"] == ""
    assert document["locations"]["ITEMS"]


def test_of_an_item_in_two_intervals_only_the_newest_row_is_imported(stage_shop: StageShop) -> None:
    stage_shop.write(datasets={"items": {}})
    trained(stage_shop, ITEMS)
    stage_shop.publish(NEXT, {ITEMS: ["i1,fruit", "i2,fruit"]})
    stage_shop.publish(AFTER_NEXT, {ITEMS: ["i1,nut"]})
    taken = plan()["taken"]["ITEMS"]
    bucket = stage_shop.context.bucket
    found = [(bucket.get(each["key"]) or b"").decode().splitlines()[1:] for each in taken]
    assert found == [["i2,fruit"], ["i1,nut"]]


def test_rows_wait_while_an_import_of_another_run_is_under_way(stage_shop: StageShop) -> None:
    trained(stage_shop)
    stage_shop.publish(NEXT, {EVENTS: events(1000)})
    other = read_plan(plan("other"))
    jobs = {EVENTS: ImportJob("job", "dataset")}
    store.register(stage_shop.context, PendingImports(other, jobs, {}, {}))
    for status, reason in (("CREATE IN_PROGRESS", "under way: job. The rows wait"), ("ACTIVE", "Nothing is")):
        found = {"jobName": "job", "status": status}
        stage_shop.personalize.on("ListDatasetImportJobs", {"datasetImportJobs": [found]})
        with pytest.raises(NothingToTrain, match=reason):
            plan()
