from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from stage_shop import ARN, SOLUTION_ARN, StageShop

from recsync.costs.ledger import CostLedger, UsageEntry, month_of
from recsync.costs.prices import UsageKind
from recsync.costs.usage import INCOMPLETE
from recsync.maintain.reconcile_costs import reconcile
from recsync.push.ledger import EntryKind, LedgerEntry
from recsync.push.plan_format import PARTS, SETTLED, WRITES, Estimate, PlanFigures
from recsync.push.store import Deliveries, PlanManifest

GROUP, DATASET = f"{ARN}dataset-group/shop", f"{ARN}dataset/shop/INTERACTIONS"
NOW = datetime.now(UTC)
MONTH = month_of(NOW)


def import_job(
    shop: StageShop, name: str, *, created: datetime = NOW, status: str = "ACTIVE"
) -> dict[str, Any]:
    return {
        "jobName": name,
        "datasetImportJobArn": f"{ARN}dataset-import-job/{name}",
        "datasetArn": DATASET,
        "dataSource": {"dataLocation": shop.context.bucket.uri("shop/in/")},
        "status": status,
        "creationDateTime": created.timestamp(),
    }


def inference_job(shop: StageShop, name: str, solution: str) -> dict[str, Any]:
    return {
        "jobName": name,
        "batchInferenceJobArn": f"{ARN}batch-inference-job/{name}",
        "solutionVersionArn": f"{solution}/v1",
        "jobInput": {"s3DataSource": {"path": shop.context.bucket.uri("shop/input.json")}},
        "jobOutput": {"s3DataDestination": {"path": shop.context.bucket.uri("shop/gone/")}},
        "status": "ACTIVE",
        "creationDateTime": NOW.timestamp(),
    }


def answer(shop: StageShop, imports: list[dict[str, Any]], inferences: list[dict[str, Any]]) -> None:
    created = {"creationDateTime": NOW.timestamp(), "status": "ACTIVE"}
    by_arn = {job["datasetImportJobArn"]: job for job in imports}
    by_arn |= {job["batchInferenceJobArn"]: job for job in inferences}
    server = shop.personalize
    server.on("ListDatasetGroups", {"datasetGroups": [{"name": "shop", "datasetGroupArn": GROUP, **created}]})
    server.on("ListDatasets", {"datasets": [{"name": "shop-interactions", "datasetArn": DATASET, **created}]})
    server.on("ListDatasetImportJobs", {"datasetImportJobs": imports})
    server.on("ListBatchInferenceJobs", {"batchInferenceJobs": inferences})
    for name in ("Solutions", "BatchSegmentJobs", "Campaigns"):
        server.on(f"List{name}", {name[0].lower() + name[1:]: []})
    server.on("DescribeDatasetImportJob", lambda b: {"datasetImportJob": by_arn[b["datasetImportJobArn"]]})
    server.on("DescribeBatchInferenceJob", lambda b: {"batchInferenceJob": by_arn[b["batchInferenceJobArn"]]})


def entries(shop: StageShop) -> dict[str, UsageEntry]:
    return dict(shop.context.store(CostLedger).read(MONTH).entries)


def put_plan(shop: StageShop, folder: Path, *, dry_run: bool = False) -> str:
    """Publish the plan of two writes: 3 and 4 data points."""
    name = f"{NOW:%Y%m%dT%H%M%S}-{'dry' if dry_run else 'abc'}"
    figures = PlanFigures(2, {"canary": 0, "removals": 0, "rest": 2}, 2, 0, 0, {}, {}, 7, 100)
    estimate = Estimate(people=2, requests=1, minutes=0.1, data_points=7)
    (folder / "writes").mkdir(exist_ok=True)
    row = {"in_audience": True, "removal": False, "object": b"{}", "changes": []}
    rows = [{**row, "external_id": who, "data_points": points} for who, points in (("a", 3), ("b", 4))]
    for part in PARTS:
        table = pa.Table.from_pylist(rows if part == "rest" else [], WRITES)
        pq.write_table(table, folder / "writes" / f"{part}.parquet")
    pq.write_table(SETTLED.empty_table(), folder / "settled.parquet")
    pq.write_table(pa.table({"item_id": pa.array([], pa.string())}), folder / "items.parquet")
    manifest = PlanManifest(name, "r", NOW.isoformat(), "d", dry_run, figures, estimate)
    shop.context.store(Deliveries).publish(manifest, folder, [])
    return name


def test_jobs_that_no_task_recorded_are_recorded_once(stage_shop: StageShop) -> None:
    bucket = stage_shop.context.bucket
    bucket.put("shop/in/a.csv", b"12345")
    bucket.put("shop/input.json", b"{}\n{}\n")
    # Of a solution that is deleted: its recorded training shows whose it was.
    trained = UsageEntry(UsageKind.TRAINING_HOURS, 1.0, NOW.isoformat(), of=SOLUTION_ARN)
    costs = stage_shop.context.store(CostLedger)
    costs.change(MONTH, lambda month: month.with_usage(f"{SOLUTION_ARN}/v1", trained))
    imports = [
        import_job(stage_shop, "done"),
        import_job(stage_shop, "failed", status="CREATE FAILED"),
        import_job(stage_shop, "old", created=NOW - timedelta(days=70)),
    ]
    inferences = [
        inference_job(stage_shop, "own", SOLUTION_ARN),
        inference_job(stage_shop, "of-others", f"{ARN}solution/other"),
    ]
    answer(stage_shop, imports, inferences)
    assert reconcile(stage_shop.context) == 2
    found = entries(stage_shop)
    assert found.keys() == {
        f"{SOLUTION_ARN}/v1",
        f"{ARN}dataset-import-job/done",
        f"{ARN}batch-inference-job/own",
    }
    assert found[f"{ARN}dataset-import-job/done"].quantity == 5
    inferred = found[f"{ARN}batch-inference-job/own"]
    assert (inferred.quantity, inferred.note) == (2, "the output is gone")
    assert reconcile(stage_shop.context) == 0
    assert entries(stage_shop) == found


def test_before_setup_only_stale_estimates_are_dropped(stage_shop: StageShop) -> None:
    stage_shop.personalize.on("ListDatasetGroups", {"datasetGroups": []})
    recent = UsageEntry(UsageKind.TRAINING_HOURS, 1.0, NOW.isoformat(), name="new", expected=True)
    stale = replace(recent, at=(NOW - timedelta(hours=49)).isoformat(), name="old")
    costs = stage_shop.context.store(CostLedger)
    costs.change(MONTH, lambda month: month.with_usage("new", recent).with_usage("old", stale))
    assert reconcile(stage_shop.context) == 0
    assert entries(stage_shop) == {"new": recent}


def test_a_delivery_counts_what_braze_took_and_then_what_its_report_says(
    stage_shop: StageShop, tmp_path: Path
) -> None:
    stage_shop.personalize.on("ListDatasetGroups", {"datasetGroups": []})
    delivery = put_plan(stage_shop, tmp_path)
    deliveries = stage_shop.context.store(Deliveries)
    assert reconcile(stage_shop.context) == 0  # Braze took nothing yet

    deliveries.append(delivery, 0, LedgerEntry(EntryKind.PROGRESS, NOW.isoformat(), taken=((1, 2),)))
    assert reconcile(stage_shop.context) == 1
    entry = entries(stage_shop)[delivery]
    assert (entry.kind, entry.quantity, entry.note) == (UsageKind.DATA_POINTS, 4, INCOMPLETE)

    deliveries.put_report(delivery, "report", {"data_points": 7})
    assert reconcile(stage_shop.context) == 1
    entry = entries(stage_shop)[delivery]
    assert (entry.quantity, entry.note) == (7, "")
    assert reconcile(stage_shop.context) == 0


def test_a_dry_run_uses_nothing(stage_shop: StageShop, tmp_path: Path) -> None:
    stage_shop.personalize.on("ListDatasetGroups", {"datasetGroups": []})
    put_plan(stage_shop, tmp_path, dry_run=True)
    assert reconcile(stage_shop.context) == 0
    assert entries(stage_shop) == {}
