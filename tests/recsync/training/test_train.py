"""Which import jobs and solution versions a plan pays for, and what they are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from stage_shop import ROLE_ARN, SOLUTION_ARN, StageShop

from recsync.errors import BudgetExceededError
from recsync.imports.full import plan_full, publish_full
from recsync.imports.plans import Taken, UpdatePlan
from recsync.imports.store import ImportStore
from recsync.program import DatasetType
from recsync.training.train import import_jobs, record_imports, version_names

REPO = Path(__file__).parents[3]
EVENTS, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
FIVE = datetime(2026, 11, 22, 5, tzinfo=UTC)
DATASETS = {kind.value: f"arn:dataset/shop/{kind.value}" for kind in (EVENTS, ITEMS)}
Rows = Mapping[DatasetType, Sequence[str]]
ROWS: Rows = {EVENTS: ["u,i,1", "u,i,2"], ITEMS: ["i,fruit"]}


@pytest.fixture
def shop(stage_shop: StageShop) -> StageShop:
    stage_shop.write(datasets={"items": {}})
    stage_shop.personalize.on("ListDatasetImportJobs", {"datasetImportJobs": []})
    return stage_shop


def full(shop: StageShop, run: str, rows: Rows = ROWS) -> dict[str, Any]:
    """Plan a FULL run, and publish its snapshot."""
    plan = plan_full("shop", run, FIVE, None)
    exported = {kind.value: asdict(shop.put(plan["keys"][kind.value], rows[kind])) for kind in rows}
    publish_full("shop", plan, exported)
    return plan


def active(shop: StageShop, jobs: Sequence[Mapping[str, str]]) -> None:
    """Let Amazon Personalize know jobs."""
    known = [{"jobName": job["job_name"], "status": "ACTIVE"} for job in jobs]
    shop.personalize.on("ListDatasetImportJobs", {"datasetImportJobs": known})


def test_a_full_run_imports_each_snapshot_and_registers_its_jobs_first(shop: StageShop) -> None:
    plan = full(shop, "first")
    jobs = import_jobs("shop", plan, DATASETS)
    events, items = jobs
    assert events == {
        "job_name": events["job_name"],
        "dataset_arn": DATASETS["INTERACTIONS"],
        "data_location": shop.context.bucket.uri(plan["keys"]["INTERACTIONS"]),
        "role_arn": ROLE_ARN,
        "import_mode": "FULL",
    }
    assert events["job_name"].startswith("shop-full-interactions-")
    assert items["job_name"].startswith("shop-full-items-")
    pending = shop.context.store(ImportStore).read().pending_imports
    assert pending is not None
    assert {job.name for job in pending.jobs.values()} == {job["job_name"] for job in jobs}
    assert import_jobs("shop", plan, DATASETS) == jobs, "a retry adopts the jobs"

    record_imports("shop", plan)
    state = shop.context.store(ImportStore).read()
    assert state.pending_imports is None
    assert {kind: last.until for kind, last in state.full.items()} == {EVENTS: FIVE, ITEMS: FIVE}


def test_imports_of_interactions_publish_the_figures_of_a_metric_attribution(shop: StageShop) -> None:
    metrics = [{"name": "purchases", "event": "purchase"}]
    shop.write(datasets={"items": {}}, personalize={"attribution": {"metrics": metrics}})
    events, items = import_jobs("shop", full(shop, "first"), DATASETS)
    assert events["publish_attribution_metrics"] is True
    assert "publish_attribution_metrics" not in items


def test_only_datasets_with_other_rows_are_imported_again(shop: StageShop) -> None:
    first = full(shop, "first")
    jobs = import_jobs("shop", first, DATASETS)
    record_imports("shop", first)
    active(shop, jobs)
    changed = full(shop, "second", {**ROWS, EVENTS: ["u,i,3"]})
    assert [job["dataset_arn"] for job in import_jobs("shop", changed, DATASETS)] == [
        DATASETS["INTERACTIONS"]
    ]


def test_a_dataset_whose_job_amazon_personalize_forgot_is_imported_again(shop: StageShop) -> None:
    first = full(shop, "first")
    jobs = import_jobs("shop", first, DATASETS)
    record_imports("shop", first)
    active(shop, jobs)
    second = full(shop, "second")
    assert import_jobs("shop", second, DATASETS) == []
    active(shop, [])
    assert len(import_jobs("shop", second, DATASETS)) == 2


def test_a_full_run_names_a_version_of_each_solution_by_its_data(shop: StageShop) -> None:
    shop.write(datasets={"items": {}}, personalize={"baseline_recipe": "aws-popularity-count"})
    plan = full(shop, "first")
    named = version_names("shop", plan)
    assert set(named) == {"solution_version", "baseline_solution_version"}
    assert named["solution_version"].startswith("shop-full-")
    assert named["baseline_solution_version"].startswith("shop-full-baseline-")
    assert version_names("shop", plan) == named
    full(shop, "first", {**ROWS, EVENTS: ["u,i,3"]})
    assert not set(version_names("shop", plan).values()) & set(named.values())


def test_an_update_imports_the_planned_folders_and_trains_one_version(shop: StageShop) -> None:
    first = full(shop, "first")
    import_jobs("shop", first, DATASETS)
    record_imports("shop", first)
    version = shop.context.store(ImportStore).read().version
    location = shop.context.bucket.uri("shop/imports/run/interactions/")
    taken = Taken("2026-11-22T0500Z", "digest", "shop/imports/run/interactions/2026-11-22T0500Z.csv")
    plan = UpdatePlan(
        "run",
        "why",
        SOLUTION_ARN,
        locations={EVENTS: location, ITEMS: ""},
        rows={"interactions": 1000, "items": 0},
        taken={EVENTS: (taken,), ITEMS: ()},
        after={kind: version(kind) for kind in (EVENTS, ITEMS)},
    ).to_json()
    (job,) = import_jobs("shop", plan, DATASETS)
    assert (job["import_mode"], job["data_location"]) == ("INCREMENTAL", location)
    assert job["job_name"].startswith("shop-update-interactions-")
    (name,) = version_names("shop", plan).values()
    assert name.startswith("shop-update-")
    record_imports("shop", plan)
    assert import_jobs("shop", plan, DATASETS) == [], "a cleared run does not import its rows twice"


def test_a_training_beyond_the_budget_registers_nothing(shop: StageShop) -> None:
    shop.write(datasets={"items": {}}, budget={"monthly": 0.01})
    (shop.include / "prices.yaml").write_text((REPO / "include/prices.yaml").read_text())
    plan = full(shop, "first")
    with pytest.raises(BudgetExceededError, match="The next billed step of shop was not started"):
        import_jobs("shop", plan, DATASETS)
    assert shop.context.store(ImportStore).read().pending_imports is None
