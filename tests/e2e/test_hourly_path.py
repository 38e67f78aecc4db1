"""The hourly path: intervals to S3, INCREMENTAL imports, UPDATE, and a new item that can be recommended."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dag_runs import states
from services import BUCKET, Services
from shop import CUSTOMERS, FULL_UNTIL, NOW, PROGRAM, Shop

from recsync.evaluation.store import ChampionStore

Run = Callable[..., Any]


def object_rows(services: Services, key: str) -> list[dict[str, str]]:
    body = services.boto3("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    return list(csv.DictReader(io.StringIO(body)))


def versions(services: Services, shop: Shop) -> list[str]:
    personalize = services.boto3("personalize")
    solutions = [s for s in personalize.list_solutions()["solutions"] if s["name"].startswith(shop.name)]
    return [
        version["trainingMode"]
        for solution in solutions
        for version in personalize.list_solution_versions(solutionArn=solution["solutionArn"])[
            "solutionVersions"
        ]
    ]


def test_an_interval_is_one_object_per_dataset_and_a_rerun_writes_the_same_bytes(
    shop: Shop, run: Run
) -> None:
    s3 = shop.services.boto3("s3")
    hour = FULL_UNTIL - timedelta(hours=5)
    etags = []
    for _ in range(2):
        # The data interval of a manual run is the one before its logical date.
        assert run(f"{shop.name}_export", logical_date=hour + timedelta(hours=1)).state == "success"
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{shop.name}/exports/")["Contents"]
        etags.append({entry["Key"]: entry["ETag"] for entry in listed if entry["Key"].endswith(".csv")})
    assert etags[0] == etags[1]
    assert sorted(etags[0]) == [
        f"{shop.name}/exports/{dataset}/{hour:%Y-%m-%dT%H%M}Z.csv" for dataset in ("interactions", "items")
    ]
    rows = object_rows(shop.services, f"{shop.name}/exports/interactions/{hour:%Y-%m-%dT%H%M}Z.csv")
    expected = shop.services.query(
        "SELECT customer, product, extract(epoch FROM at)::bigint FROM shop.orders "
        f"WHERE at >= '{hour.isoformat()}' AND at < '{(hour + timedelta(hours=1)).isoformat()}'"
    )
    assert sorted((r["USER_ID"], r["ITEM_ID"], int(r["TIMESTAMP"])) for r in rows) == sorted(expected)
    assert rows


def test_an_update_without_a_full_version_skips(shop: Shop, run: Run) -> None:
    found = states(run(f"{shop.name}_train_update"))
    assert (found.pop("hold"), found["plan"]) == ("success", "skipped")
    assert set(found.values()) == {"skipped"}
    assert versions(shop.services, shop) == []


@pytest.mark.timeout(600)
def test_new_items_can_be_recommended_after_an_update(shop: Shop, run: Run) -> None:
    full = run(f"{shop.name}_train_full", run_conf={"until": FULL_UNTIL.isoformat()})
    assert full.state == "success", states(full)
    shop.add_products([("new-item", 3.0, FULL_UNTIL + timedelta(minutes=30))])
    # Too few for an import of interactions: the new item goes alone.
    new = FULL_UNTIL + timedelta(minutes=40)
    shop.add_orders([(f"c {c}", "new-item", new + timedelta(hours=c % 2)) for c in range(6)])
    for hour in range(3):
        assert (
            run(f"{shop.name}_export", logical_date=FULL_UNTIL + timedelta(hours=hour + 1)).state == "success"
        )
    update = run(f"{shop.name}_train_update")
    assert update.state == "success", states(update)
    assert versions(shop.services, shop) == ["FULL", "UPDATE"]

    again = states(run(f"{shop.name}_train_update"))
    assert again.pop("hold") == "success"
    assert set(again.values()) == {"skipped"}, "what is pending is too little for an import"
    assert versions(shop.services, shop) == ["FULL", "UPDATE"]

    for stage in ("recommend", "push"):
        assert run(f"{shop.name}_{stage}").state == "success"
    profiles = shop.services.profiles()
    lists = {name: a["recs"] for name, a in profiles.items() if name.startswith("braze-c ")}
    assert {len({entry["id"] for entry in entries}) for entries in lists.values()} == {5}
    assert any(entry["id"] == "new-item" for entries in lists.values() for entry in entries)
    assert lists["braze-c 1"][0]["title"] == f"Product {lists['braze-c 1'][0]['id']}"

    before = shop.services.meter()
    assert run(f"{shop.name}_push").state == "success"
    assert shop.services.meter()["data_points"] == before["data_points"], (
        "nothing changed, so nothing is sent"
    )


def test_a_full_run_done_twice_pays_for_its_jobs_once(shop: Shop, run: Run) -> None:
    moment = NOW - timedelta(minutes=7)
    for _ in range(2):
        assert run(f"{shop.name}_train_full", logical_date=moment, run_after=moment).state == "success"
    personalize = shop.services.boto3("personalize")
    jobs = [
        job
        for page in personalize.get_paginator("list_dataset_import_jobs").paginate()
        for job in page["datasetImportJobs"]
        if job["jobName"].startswith(shop.name)
    ]
    assert len(jobs) == 2, "one import job per dataset"
    assert versions(shop.services, shop) == ["FULL"]


def test_a_recipe_without_update_and_exploration_runs_too(shop: Shop, run: Run) -> None:
    program = PROGRAM.replace("personalize: {", "personalize: {recipe: aws-popularity-count, ")
    shop.write_files(program)
    for stage in ("train_full", "recommend", "push"):
        dag_run = run(f"{shop.name}_{stage}")
        assert dag_run.state == "success", states(dag_run)
    assert run(f"{shop.name}_export", logical_date=NOW).state == "success"
    with pytest.raises(KeyError, match=f"{shop.name}_train_update"):
        run(f"{shop.name}_train_update")
    assert versions(shop.services, shop) == ["FULL"]
    profiles = shop.services.profiles()
    lists = {tuple(entry["id"] for entry in profiles[f"braze-c {c}"]["recs"]) for c in range(CUSTOMERS)}
    assert len(lists) == 1, "everybody gets what is popular"


def test_a_cleared_recommend_run_with_another_audience_pays_for_another_job(shop: Shop) -> None:
    from recsync.context import StageContext
    from recsync.evaluation.store import Champion
    from recsync.recommend.prepare import prepare

    StageContext.of(shop.name).store(ChampionStore).promote(Champion("arn:1", "FULL", "2026", "run", {}))
    first = prepare(shop.name, "run", NOW)
    assert prepare(shop.name, "run", NOW) == first, "a retry finds the job of the first try"
    shop.add_orders([("c new", "p-1", FULL_UNTIL)])
    assert prepare(shop.name, "run", NOW)["job"] != first["job"]
