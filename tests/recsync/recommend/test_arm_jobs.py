"""Whom each job of an experiment is about, and which version it asks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.evaluation.store import (
    Candidate,
    Champion,
    ChampionStore,
    Comparison,
    ComparisonStore,
    PromotionOutcome,
)
from recsync.recommend.arm_jobs import ArmPlan, version_of
from recsync.recommend.prepare import prepare
from recsync.recommend.recommend import build_and_publish_lists
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
SOLUTION = "arn:aws:personalize:us-east-1:000000000000:solution/"
OWN, SIMS, WINE = (
    f"{SOLUTION}{name}/1"
    for name in ("shop-user-personalization", "shop-popularity-count", "wine-user-personalization")
)
PEOPLE = 400
ARMS = {
    "best": {"share": 0.3, "gets": "champion"},
    "sims": {"share": 0.2, "gets": {"challenger": "sims"}},
    "wine": {"share": 0.1, "gets": {"program": "wine"}},
    "popular": {"share": 0.1, "gets": "popular"},
    "out": {"share": 0.2, "gets": "nothing"},
}
CHALLENGERS = {"sims": {"recipe": "aws-popularity-count"}}


@pytest.fixture
def shop(small_shop: SmallShop) -> SmallShop:
    """A program with an experiment, a trained challenger, and another program beside it."""
    small_shop.write_sql(
        "audience",
        f"SELECT 'u' || n AS user_id, 'b-' || n AS external_id, n % 7 AS city FROM range({PEOPLE}) t(n)",
    )
    small_shop.write_sql("outcomes", "SELECT 1")
    small_shop.write_program("wine", braze={"attribute": "recs_wine"})
    write(small_shop, ARMS)
    context = small_shop.context
    context.store(ChampionStore).promote(Champion(OWN, "FULL", "2026-11-01", "run", {}))
    candidate = Candidate("sims", "aws-popularity-count", SIMS, {"m": 1.0}, {})
    context.store(ComparisonStore).write(Comparison("20261101T-1", "2026-11-01", "m", "", (candidate,)))
    ChampionStore(context.bucket, type(context.keys)("wine")).promote(
        Champion(WINE, "FULL", "2026-11-01", "run", {})
    )
    return small_shop


def write(shop: SmallShop, arms: dict[str, Any], **fields: Any) -> None:
    experiment = {"name": "autumn", "arms": arms, **fields.pop("experiment", {})}
    shop.write_program(
        experiment=experiment,
        personalize={"challengers": CHALLENGERS},
        recommendations={
            "length": 2,
            "min_length": 1,
            "min_answered": 1,
            **fields.pop("recommendations", {}),
        },
        **fields,
    )


def lines(shop: SmallShop, job: dict[str, Any]) -> list[str]:
    body = shop.context.bucket.get(job["input"].removeprefix(shop.context.bucket.uri(""))) or b""
    return [json.loads(line)["userId"] for line in body.splitlines()]


def answer(shop: SmallShop, job: dict[str, Any], item: str) -> None:
    """Put a job's output: the same items for everybody whom it is asked about."""
    found = [
        {"input": {"userId": user}, "output": {"recommendedItems": [item, "i3"]}, "error": None}
        for user in lines(shop, job)
    ]
    key = job["output"].removeprefix(shop.context.bucket.uri("")) + "users.json.out"
    shop.context.bucket.put(key, "".join(json.dumps(line) + "\n" for line in found).encode())


def publish(shop: SmallShop, plan: dict[str, Any], folder: Path) -> tuple[RecommendationsManifest, list[Any]]:
    build_and_publish_lists("shop", plan, [])
    store = shop.context.store(RecommendationsStore)
    catalog = store.download(plan["run"], folder / "lists.parquet")["item_id"].to_pylist()
    rows = pq.read_table(folder / "lists.parquet").to_pylist()
    for row in rows:
        row["items"] = [catalog[item] for item in row["items"]]
    return store.manifest(plan["run"]), rows


def test_each_job_is_about_the_people_of_its_arms_alone(shop: SmallShop, tmp_path: Path) -> None:
    # Popular items are those of the last 30 days.
    shop.write_sql(
        "interactions",
        f"SELECT 'u1' AS user_id, 'i3' AS item_id, {NOW.timestamp() - 86_400:.0f} AS timestamp",
    )
    plan = prepare("shop", "run", NOW)
    jobs = plan["experiment"]["jobs"]
    assert {arm: job["solution_version_arn"] for arm, job in jobs.items()} == {"sims": SIMS, "wine": WINE}
    assert plan["solution_version_arn"] == OWN
    assert prepare("shop", "run", NOW) == plan, "a retry plans the same jobs"
    asked = {"": lines(shop, plan), **{arm: lines(shop, job) for arm, job in jobs.items()}}
    assert len({job["job"] for job in (plan, *jobs.values())}) == 3
    people = plan["experiment"]["people"]
    assert set(people) == set(ARMS)
    assert (len(asked["sims"]), len(asked["wine"])) == (people["sims"], people["wine"])
    held_back = people["popular"] + people["out"]
    assert len({user for users in asked.values() for user in users}) == PEOPLE - held_back
    for job, item in ((plan, "i1"), (jobs["sims"], "i2"), (jobs["wine"], "i3")):
        answer(shop, job, item)
    manifest, rows = publish(shop, plan, tmp_path)
    assert (manifest.experiment, manifest.arms, manifest.held_out) == ("autumn", people, ("out",))
    assert manifest.versions == {"best": OWN, "sims": SIMS, "wine": WINE}
    assert (manifest.questions, manifest.answered) == (PEOPLE - held_back,) * 2
    items = {
        "best": ["i1", "i3"], "": ["i1", "i3"], "sims": ["i2", "i3"], "wine": ["i3"], "popular": ["i3"], "out": [],
    }  # fmt: skip
    assert all(row["items"] == items[row["arm"] or ""] for row in rows)
    assert {row["tier"] for row in rows if row["arm"] == "popular"} == {"popular"}
    assert {row["reason"] for row in rows if row["arm"] == "out"} == {"held out by experiment autumn"}
    # The next day everybody is in the same arm.
    prepare("shop", "run-2", NOW + timedelta(days=1))
    assert [dict(row) for row in rows_of_audience(shop, "run-2", NOW + timedelta(days=1), tmp_path)] == [
        dict(row) for row in rows_of_audience(shop, "run", NOW, tmp_path)
    ]


def rows_of_audience(shop: SmallShop, run_id: str, moment: datetime, folder: Path) -> list[dict[str, Any]]:
    from recsync.program import names

    run = names.run_key(run_id, moment.isoformat())
    path = shop.context.store(RecommendationsStore).download_audience(run, folder / "audience.parquet")
    assert path is not None
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def test_nobody_is_asked_about_where_no_arm_needs_a_model(shop: SmallShop, tmp_path: Path) -> None:
    arms = {"popular": {"share": 0.5, "gets": "popular"}, "out": {"share": 0.5, "gets": "nothing"}}
    write(shop, arms, experiment={"name": "none"}, braze={"attribute": "recs"})
    plan = prepare("shop", "run", NOW)
    assert (plan["experiment"]["is_champion_asked"], plan["experiment"]["jobs"]) == (False, {})
    assert shop.context.bucket.get(shop.context.keys.batch_input(plan["run"])) is None
    shop.write_sql("interactions", "SELECT '' AS user_id, '' AS item_id, 0 AS timestamp WHERE false")
    manifest, rows = publish(shop, plan, tmp_path)
    assert (manifest.lists, manifest.questions, manifest.versions) == (0, 0, {})
    assert {row["reason"] for row in rows} == {
        "held out by experiment none", "fewer than 1 items that may be mailed",
    }  # fmt: skip


def test_shares_hold_within_a_column_of_the_audience(shop: SmallShop, tmp_path: Path) -> None:
    arms = {"best": {"share": 0.5, "gets": "champion"}, "out": {"share": 0.5, "gets": "nothing"}}
    write(shop, arms, experiment={"name": "cities", "stratify_by": "CITY"})
    plan = prepare("shop", "run", NOW)
    out = {
        int(row["user_id"][1:]) for row in rows_of_audience(shop, "run", NOW, tmp_path) if row["arm"] == "out"
    }
    assert len(out) == plan["experiment"]["people"]["out"]
    for city in range(7):
        inside = set(range(city, PEOPLE, 7))
        assert abs(len(out & inside) - len(inside) / 2) <= 1
    write(shop, arms, experiment={"name": "regions", "stratify_by": "region"})
    with pytest.raises(FatalError, match=r"audience\.sql returns no column region, within whose values"):
        prepare("shop", "run", NOW)


def test_an_arm_asks_the_newest_trained_version_of_its_challenger(shop: SmallShop) -> None:
    context = shop.context
    store, comparisons = context.store(ChampionStore), context.store(ComparisonStore)
    program = context.program
    assert program.experiment

    def newest() -> str:
        assert program.experiment
        arn, _ = version_of(context, "sims", program.experiment.arms["sims"])
        return arn.removeprefix(SOLUTION)

    def compared(day: int, arn: str) -> None:
        candidate = Candidate("sims", "aws-popularity-count", arn, None, {})
        comparisons.write(Comparison(f"202611{day}T-1", f"2026-11-{day}", "m", "", (candidate,)))

    compared(10, f"{SOLUTION}shop-popularity-count/2")
    compared(11, "")  # its training failed
    assert newest() == "shop-popularity-count/2"
    # It became champion, was updated, and then rolled back: the update is still its newest version.
    for day, version, outcome in (
        (12, 2, PromotionOutcome.PROMOTED),
        (13, 3, PromotionOutcome.PROMOTED),
        (14, 2, PromotionOutcome.ROLLED_BACK),
    ):
        arn = f"{SOLUTION}shop-popularity-count/{version}"
        store.promote(Champion(arn, "UPDATE", f"2026-11-{day}", "run", {}, outcome=outcome))
    assert newest() == "shop-popularity-count/3"
    compared(15, f"{SOLUTION}shop-popularity-count/4")
    assert newest() == "shop-popularity-count/4"
    plan = prepare("shop", "run", NOW)
    assert plan["solution_version_arn"].endswith("/2")
    assert ArmPlan.of(plan).versions(plan["solution_version_arn"])["sims"].endswith("/4")  # type: ignore[union-attr]


def test_a_model_that_is_not_there_or_answers_something_else_stops_the_run(shop: SmallShop) -> None:
    context = shop.context
    assert context.program.experiment
    arms = context.program.experiment.arms
    store = ChampionStore(context.bucket, type(context.keys)("wine"))
    store.promote(Champion(f"{SOLUTION}wine-sims/1", "FULL", "2026-11-02", "run", {}))
    with pytest.raises(FatalError, match="its recipe aws-sims is of another type than"):
        version_of(context, "wine", arms["wine"])
    context.bucket.delete(context.keys.comparison("20261101T-1"))
    with pytest.raises(
        FatalError, match="challenger sims of shop has no trained version; run shop_train_full"
    ):
        version_of(context, "sims", arms["sims"])
