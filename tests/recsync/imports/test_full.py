"""Where the data of a FULL import ends, and how published intervals become one folder."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from stage_shop import StageShop

from recsync.errors import FatalError, RetriableError
from recsync.export.store import ExportStore
from recsync.imports import store
from recsync.imports.full import gather_intervals, plan_full, publish_full
from recsync.imports.plans import FullPlan, ImportJob, PendingImports
from recsync.program import DatasetType

EVENTS, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
CREATED = FIVE + timedelta(minutes=20)
FROM_INTERVALS = {"import_from": "intervals"}


def events(count: int, start: int = 0) -> list[str]:
    return [f"u{n},i{n},{n}" for n in range(start, start + count)]


def test_the_data_ends_at_the_last_boundary_of_an_export(stage_shop: StageShop) -> None:
    stage_shop.write(datasets={"items": {}})
    plan = plan_full("shop", "manual", CREATED, None)
    assert plan["until"] == FIVE.isoformat()
    assert set(plan["keys"]) == {"INTERACTIONS", "ITEMS"}
    assert plan == plan_full("shop", "manual", CREATED, None), "a retry does the same"
    earlier = plan_full("shop", "manual", CREATED, FIVE - timedelta(minutes=1))
    assert earlier["until"] == (FIVE - HOUR).isoformat()


def test_a_snapshot_includes_what_exports_may_still_change(stage_shop: StageShop) -> None:
    stage_shop.write(datasets={"items": {}}, exports={"overlap_intervals": 1})
    for hours in (3, 1, 0):
        stage_shop.publish(FIVE - hours * HOUR, {EVENTS: events(1), ITEMS: ["i0,fruit"]})
    known = plan_full("shop", "manual", CREATED, None)["known"]
    assert {kind: list(digests) for kind, digests in known.items()} == {
        kind: ["2026-11-22T0400Z"] for kind in ("INTERACTIONS", "ITEMS")
    }
    stage_shop.write(datasets={"items": {}}, exports={"overlap_intervals": 1}, train_full=FROM_INTERVALS)
    with pytest.raises(FatalError, match="1 gap"):
        plan_full("shop", "manual", CREATED, None)
    stage_shop.publish(FIVE - 2 * HOUR, {EVENTS: events(1)})
    assert set(plan_full("shop", "manual", CREATED, None)["known"]) == {"ITEMS"}


def test_a_plan_waits_for_the_imports_of_an_earlier_run(stage_shop: StageShop) -> None:
    jobs = {EVENTS: ImportJob("job", "dataset")}
    store.register(stage_shop.context, PendingImports(FullPlan("run", FIVE, {}, {}), jobs, {}, {}))
    running = {"jobName": "job", "status": "CREATE IN_PROGRESS"}
    stage_shop.personalize.on("ListDatasetImportJobs", {"datasetImportJobs": [running]})
    with pytest.raises(RetriableError, match=r"earlier run is under way: job\. It must end first"):
        plan_full("shop", "manual", CREATED, None)


def test_intervals_are_copied_into_a_folder_of_their_content(stage_shop: StageShop) -> None:
    stage_shop.write(train_full=FROM_INTERVALS)
    with pytest.raises(FatalError, match="No interval before 2026-11-22T05:00:00"):
        plan_full("shop", "manual", CREATED, None)
    stage_shop.publish(FIVE - 3 * HOUR, {EVENTS: events(600)})
    stage_shop.publish(FIVE - 2 * HOUR, {EVENTS: []})
    plan = plan_full("shop", "manual", CREATED, None)
    assert plan["until"] == (FIVE - HOUR).isoformat(), "the data ends with the last published interval"
    with pytest.raises(FatalError, match="hold 600 interactions; Amazon Personalize trains on at least 1000"):
        gather_intervals("shop", plan)

    last = stage_shop.publish(FIVE - HOUR, {EVENTS: events(400, start=600)})
    plan = plan_full("shop", "manual", CREATED, None)
    gathered = gather_intervals("shop", plan)
    assert gathered["rows"] == 1000
    bucket = stage_shop.context.bucket
    names = [key.removeprefix(gathered["key"]) for key in bucket.keys(gathered["key"])]
    assert names == ["2026-11-22T0200Z.csv", "2026-11-22T0400Z.csv"]
    assert bucket.get(f"{gathered['key']}{names[1]}") == bucket.get(last.objects[EVENTS].key)
    assert gather_intervals("shop", plan) == gathered

    stage_shop.publish(FIVE - HOUR, {EVENTS: events(401, start=600)})
    assert gather_intervals("shop", plan)["key"] != gathered["key"]


def test_a_published_snapshot_is_found_by_its_run(stage_shop: StageShop) -> None:
    plan = plan_full("shop", "manual", CREATED, None)
    exported = stage_shop.put(plan["keys"]["INTERACTIONS"], events(3))
    assert publish_full("shop", plan, {"INTERACTIONS": asdict(exported)}) == {"interactions": 3}
    manifest = stage_shop.context.store(ExportStore).full(plan["run"])
    assert manifest.interval.end == FIVE
    assert manifest.objects == {EVENTS: exported}
