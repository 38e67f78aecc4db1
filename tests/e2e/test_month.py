"""Thirty days of one program through its DAGs: real trainings, with the clock moved on from day to day.

This takes long: RECSYNC_LONG_TESTS=1 runs it. The parts are tested shortly elsewhere, retention with made-up versions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from dag_runs import run_dag, states
from meters import booked, metered, used
from services import REGION, Services, started
from shop import CUSTOMERS, FULL_UNTIL, LENIENT, PRODUCTS, PROGRAM, Shop

from personalize_local.server import Server
from personalize_local.service import Settings
from recsync.evaluation.store import ChampionStore
from recsync.imports.store import ImportStore
from recsync.push.store import LastSent

DAYS = 30
DAY = timedelta(days=1)
# As if it were the past: what the tests' shop holds lies before.
START = (FULL_UNTIL + DAY).replace(hour=4)
FULL_EVERY = 3
ROLLBACK_ON = 16
KEPT = "{days: 7, export_days: 14, snapshots: 2, champions: 2, solution_days: 9, solutions: 6}"
QUOTAS = {"solutions": 10, "filters": 30, "campaigns": 5}

pytestmark = pytest.mark.skipif(
    not os.environ.get("RECSYNC_LONG_TESTS"), reason="takes long: RECSYNC_LONG_TESTS=1 runs it"
)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Run the local stack with Personalize, as S3 is, in this process: they take its clock."""
    folder = tmp_path_factory.mktemp("month")
    with started(folder) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL_S3": running.s3,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }.items():
            patch.setenv(name, value)
        with Server(Settings(folder / "month", time_scale=0)) as server:
            month = replace(running, personalize=server.url)
            for name, value in month.environment().items():
                patch.setenv(name, value)
            yield month


def program(solution: int) -> str:
    """Say what the program file holds; each number asks for another solution."""
    return (
        PROGRAM.replace(LENIENT, f"{LENIENT}budget: {{monthly: 100}}\nretention: {KEPT}\n").replace(
            "personalize: {",
            f"personalize: {{hyperparameters: {{hidden_dimension: {32 + solution}}}, "
            "baseline_recipe: aws-popularity-count, ",
        )
        + "schedules: {export: '0 0 * * *'}\n"
        + "filters: {keep: 2, recommend: {expression: "
        + "'INCLUDE ItemID WHERE Items.CREATION_TIMESTAMP > {{ epoch(data_interval_end - days(300)) }}'}}\n"
    )


class Month:
    """One shop, day by day."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.personalize = shop.services.boto3("personalize")
        self.most = dict.fromkeys(QUOTAS, 0)
        self.created: set[str] = set()

    def day(self, number: int, now: datetime) -> None:
        """Sell, then let each DAG run as its schedule and its assets would have it."""
        yesterday = now - DAY
        self.shop.add_products([(f"new-{number}", 2.5, yesterday)])
        self.shop.add_orders(
            [
                (f"c {(number * 7 + n) % CUSTOMERS}", item, yesterday + timedelta(minutes=n))
                for n in range(60)
                for item in (f"new-{number}", f"p-{(number + n * n) % PRODUCTS}")
            ]
        )
        self.run("export", logical_date=now)
        if number % FULL_EVERY == 0:
            self.shop.write_files(program(number // FULL_EVERY))
            self.run("train_full")
        elif number == ROLLBACK_ON:
            self.run("rollback")
        else:
            self.run("train_update")
        self.run("recommend")
        self.run("push")
        self.run("maintain")
        self.check()

    def run(self, stage: str, **kwargs: Any) -> None:
        done = run_dag(f"{self.shop.name}_{stage}", **kwargs)
        assert done.state == "success", (stage, states(done))

    def check(self) -> None:
        """The account is within its quotas, and nothing that state, the champions or Braze refer to is gone."""
        from recsync.context import StageContext
        from recsync.export.manifest import Manifest

        context = StageContext.of(self.shop.name)
        bucket, keys = context.bucket, context.keys
        (group,) = (g["datasetGroupArn"] for g in self.personalize.list_dataset_groups()["datasetGroups"])
        there = {
            "solutions": self._arns("solutions", "solutionArn", datasetGroupArn=group),
            "filters": self._arns("filters", "filterArn", datasetGroupArn=group),
            "campaigns": self._arns("campaigns", "campaignArn"),
        }
        for kind, arns in there.items():
            self.most[kind] = max(self.most[kind], len(arns))
            assert len(arns) <= QUOTAS[kind]
        self.created |= there["solutions"]
        for champion in context.store(ChampionStore).history()[-2:]:
            version = self.personalize.describe_solution_version(
                solutionVersionArn=champion.solution_version_arn
            )
            assert version["solutionVersion"]["status"] == "ACTIVE"

        held, everything = context.store(ImportStore).read(), set(bucket.keys(f"{self.shop.name}/"))
        state, _ = context.store(LastSent).read()
        named = {last.snapshot for last in held.full.values()}
        named |= {key for kept in held.objects.values() for key in kept}
        named |= {keys.export_manifest(interval) for interval in held.intervals}
        named |= {keys.recommendations_manifest(state.newest.run)}
        for key in everything:
            if key.startswith((keys.export_manifests, f"{self.shop.name}/full/")) and "manifest" in key:
                manifest = Manifest.from_json(bucket.get_json(key))
                named |= {exported.key for exported in manifest.objects.values()}
        assert named - everything == set()

    def _arns(self, kind: str, member: str, **params: str) -> set[str]:
        pages = self.personalize.get_paginator(f"list_{kind}").paginate(**params)
        listing = "Filters" if kind == "filters" else kind
        return {each[member] for page in pages for each in page[listing]}


@pytest.mark.timeout(3600)
def test_thirty_days_hold_the_quotas_lose_nothing_in_use_and_are_booked_as_metered(
    shop: Shop, airflow_database: None, capfd: pytest.CaptureFixture[str]
) -> None:
    from recsync.context import StageContext

    (shop.include / "prices.yaml").write_text(
        (Path(__file__).parents[2] / "include" / "prices.yaml").read_text()
    )
    shop.write_files(program(0))
    month, before = Month(shop), metered(shop.services)
    with time_machine.travel(START, tick=True) as clock:
        for number in range(DAYS):
            now = START + number * DAY
            clock.move_to(now)
            month.day(number, now)
            truth = used(before, metered(shop.services))
            assert booked(shop) == truth, f"day {number}"
            with capfd.disabled():
                print(f"day {number}: {month.most} at most, {truth}")
        history = StageContext.of(shop.name).store(ChampionStore).history()
        assert len(month.created) > QUOTAS["solutions"], "without retention, the quota would have been hit"
        month.run("rollback")
        month.run("recommend")
    assert sum(entry.outcome == "rolled back to" for entry in history) == 1
