"""Eighteen days of a program against S3 and the local Personalize: quotas hold, and nothing in use is ever gone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import time_machine
from moto.server import ThreadedMotoServer
from small_shop import SmallShop

from personalize_local.server import Server
from personalize_local.service import Settings
from recsync.context import StageContext
from recsync.errors import RetriableError
from recsync.evaluation.store import Champion, ChampionStore
from recsync.experiments.enrolment import assign_arms
from recsync.experiments.store import LayerStore
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.store import ExportStore
from recsync.imports.dataset_state import DatasetState, LastFull
from recsync.imports.plans import Taken
from recsync.imports.store import ImportStore
from recsync.maintain import run as maintain
from recsync.maintain.report import QUOTAS
from recsync.maintain.run import remove_objects
from recsync.program import DatasetType, names
from recsync.program.intervals import Interval
from recsync.push.store import LastSent, Newest
from recsync.recommend.filters import active_filter

EVENTS = DatasetType.INTERACTIONS
START = datetime(2026, 1, 4, 3, tzinfo=UTC)
# Longer than everything is kept: exports for 14 days, 2 snapshots of one a week, 10 filters in an account.
DAYS = 18
DAY = timedelta(days=1)
BUCKET = "weeks"
RECIPE = "aws-user-personalization"
FIELDS = [{"name": n, "type": "string"} for n in ("USER_ID", "ITEM_ID", "EVENT_TYPE")]
SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [*FIELDS, {"name": "TIMESTAMP", "type": "long"}],
}
PROGRAM = """
personalize: {recipe: aws-user-personalization}
filters: {keep: 2, recommend: {expression: 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")'}}
retention: {days: 7, export_days: 14, snapshots: 2, champions: 2, solution_days: 5, solutions: 6}
braze: {attribute: recs}
"""


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    s3 = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AIRFLOW__RECSYNC__BUCKET": BUCKET,
        "AIRFLOW__RECSYNC__INCLUDE_FOLDER": str(tmp_path / "include"),
    }.items():
        monkeypatch.setenv(name, value)
    _files(tmp_path / "include")
    with Server(Settings(tmp_path / "personalize", time_scale=0)) as server:
        urls = {"s3": s3, "personalize": server.url}
        extra = {
            "region_name": "us-east-1",
            "service_config": {name: {"endpoint_url": url} for name, url in urls.items()},
        }
        connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))

        def client(service: str) -> Any:
            return boto3.client(service, endpoint_url=urls[service], region_name="us-east-1")

        client("s3").create_bucket(Bucket=BUCKET)
        yield client
    moto.stop()


def _files(include: Path) -> None:
    for folder in ("programs", "sql/shop", "schemas/shop"):
        (include / folder).mkdir(parents=True)
    (include / "programs/shop.yaml").write_text(PROGRAM)
    for query in ("interactions", "audience", "catalogue"):
        (include / f"sql/shop/{query}.sql").write_text("SELECT 1")
    (include / "schemas/shop/interactions.json").write_text(json.dumps(SCHEMA))
    prices = Path(__file__).parents[3] / "include/prices.yaml"
    (include / "prices.yaml").write_text(prices.read_text())


class Weeks:
    """What the stages leave behind, day by day."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.context = StageContext.of("shop")
        self.personalize = client("personalize")
        self.bucket, self.keys = self.context.bucket, self.context.keys
        self.group = group = self.personalize.create_dataset_group(name="shop")["datasetGroupArn"]
        while (
            self.personalize.describe_dataset_group(datasetGroupArn=group)["datasetGroup"]["status"]
            != "ACTIVE"
        ):
            time.sleep(0.01)
        schema = self.schema("shop-interactions-00000000")
        self.personalize.create_dataset(
            name="shop-interactions", schemaArn=schema, datasetGroupArn=group, datasetType="Interactions"
        )
        self.schema("somebodys-own")
        self.personalize.create_dataset_group(name="somebodys-group")
        self.solution("somebodys-solution")

    def schema(self, name: str) -> str:
        return str(self.personalize.create_schema(name=name, schema=json.dumps(SCHEMA))["schemaArn"])

    def solution(self, name: str) -> str:
        arn = names.recipe_arn(RECIPE)
        reply = self.personalize.create_solution(name=name, datasetGroupArn=self.group, recipeArn=arn)
        return str(reply["solutionArn"])

    def day(self, number: int, now: datetime) -> None:
        for hours in (0, 12):
            self._export(now - DAY + timedelta(hours=hours))
        run = names.run_key(f"day {number}", now.isoformat())
        if number % 7 == 0:
            self._full(run, now)
        else:
            self._increment(run, now - DAY)
        self._deliver(run, now)
        # Hyperparameters change every day: each day another solution, and another filter and schema.
        solution = self.solution(names.solution_name(self.context.program, RECIPE, {"day": number}))
        champion = Champion(f"{solution}/v{number}", "FULL", now.isoformat(), run, {})
        self.context.store(ChampionStore).promote(champion)
        if number % 2:
            self.schema(f"shop-interactions-{number:08x}")
        chosen = active_filter(self.context.program, now)
        assert chosen is not None
        self.personalize.create_filter(
            name=f"shop-filter-{number:012x}", datasetGroupArn=self.group, filterExpression=chosen.expression
        )

    def _export(self, start: datetime) -> None:
        interval = Interval(start, start + DAY / 2)
        key = self.keys.export(EVENTS, interval.key)
        etag = self.bucket.put(key, interval.key.encode())
        for room, suffix in (("reports", ".json"), ("ids", ".u64"), ("quarantine", ".jsonl")):
            self.bucket.put(self.keys.companion(key, room, suffix), b"x")
        exported = ExportedObject(key, 1, 1, interval.key, etag)
        self.context.store(ExportStore).publish_interval(Manifest(interval, {EVENTS: exported}))

    def _full(self, run: str, now: datetime) -> None:
        key = self.keys.full(run, EVENTS)
        etag = self.bucket.put(key, b"full")
        self.bucket.put(self.keys.companion(key, "reports", ".json"), b"{}")
        exported = ExportedObject(key, 1, 1, run, etag)
        self.context.store(ExportStore).publish_full(run, Manifest(Interval.until(now), {EVENTS: exported}))
        last = LastFull(now, run, run, alone=True, snapshot=key, etag=etag)
        self.context.store(ImportStore).change(
            lambda held: held.after_full(EVENTS, last, known={}, objects={})
        )

    def _increment(self, run: str, start: datetime) -> None:
        interval = Interval(start, start + DAY / 2).key
        key = self.keys.import_object(run, EVENTS, interval)
        self.bucket.put(key, b"rows")
        taken = [Taken(interval, interval, key)]
        self.context.store(ImportStore).change(lambda held: held.after_increment(EVENTS, taken))

    def _deliver(self, run: str, now: datetime) -> None:
        for key in (
            self.keys.batch_input(run),
            f"{self.keys.batch_output(run)}users.json.out",
            f"{self.keys.recommendations(run)}lists.parquet",
            f"{self.keys.delivery(run)}ledger/00000000.json",
        ):
            self.bucket.put(key, b"x")
        self.bucket.put_json(self.keys.recommendations_manifest(run), {"run": run})
        figures: dict[str, Any] = {}
        plan = {"delivery": run, "recommendations": run, "figures": figures}
        self.bucket.put_json(f"{self.keys.delivery(run)}plan.json", plan)
        state, etag = self.context.store(LastSent).read()
        self.context.store(LastSent).replace(replace(state, newest=Newest(run, now.isoformat())), etag)

    def check(self) -> None:
        """Nothing in use is gone, nothing published lacks its objects, and the quotas hold."""
        everything = set(self.bucket.keys("shop/"))
        held: DatasetState = self.context.store(ImportStore).read()
        named = {last.snapshot for last in held.full.values()}
        named |= {key for keys in held.objects.values() for key in keys}
        named |= {self.keys.export_manifest(interval) for interval in held.intervals}
        state, _ = self.context.store(LastSent).read()
        named |= {self.keys.recommendations_manifest(state.newest.run)}
        for key in everything:
            if key.startswith((self.keys.export_manifests, "shop/full/")) and "manifest" in key:
                manifest = Manifest.from_json(self.bucket.get_json(key))
                named |= {exported.key for exported in manifest.objects.values()}
        assert named <= everything
        solutions = self._arns("solutions", "solutionArn")
        last = self.context.store(ChampionStore).history()[-2:]
        assert {c.solution_version_arn.rsplit("/", 1)[0] for c in last} <= solutions
        assert len(solutions) <= QUOTAS["solutions"]
        assert len(self._arns("filters", "filterArn", "Filters")) <= QUOTAS["filters"]

    def _arns(self, kind: str, member: str, listing: str = "") -> set[str]:
        reply = getattr(self.personalize, f"list_{kind}")(datasetGroupArn=self.group)
        return {each[member] for each in reply[listing or kind]}

    def schemas(self) -> set[str]:
        return {each["name"] for each in self.personalize.list_schemas(maxResults=100)["schemas"]}


def look_after(run: str, now: datetime, *, dry_run: bool = False) -> dict[str, Any]:
    maintain.remove_objects("shop", run, now, dry_run=dry_run)
    maintain.remove_resources(
        "shop", run, now, dry_run=dry_run, lock=lambda: None, is_recommending=lambda program: False
    )
    maintain.report("shop", run)
    context = StageContext.of("shop")
    document: dict[str, Any] = context.bucket.get_json(context.keys.maintenance(run, "report"))
    return document


def test_weeks_stay_within_their_quotas_and_lose_nothing_in_use(services: Callable[[str], Any]) -> None:
    with time_machine.travel(START, tick=True) as clock:
        weeks = Weeks(services)
        for number in range(DAYS):
            now = START + number * DAY
            clock.move_to(now)
            weeks.day(number, now)
            # An hour later, so that no object is as old as its retention to the second.
            clock.move_to(now + timedelta(hours=1))
            report = look_after(f"maintain-{number:02}", now + timedelta(hours=1))
            weeks.check()
    now = START + DAYS * DAY
    unowned = {entry["name"] for entry in report["unowned"]}
    assert unowned == {"somebodys-own", "somebodys-group", "somebodys-solution"}
    left = weeks.bucket.keys("shop/")
    # 7 days of runs and the newest ones; 14 days of exports, two a day.
    assert len([key for key in left if key.startswith("shop/batch/") and "/input/" in key]) == 7
    assert len([key for key in left if key.startswith(weeks.keys.export_manifests)]) == 28
    assert len([key for key in left if key.startswith("shop/exports/reports/")]) == 28
    assert "somebodys-own" in weeks.schemas()
    assert "shop-interactions-00000000" in weeks.schemas()
    assert "shop-interactions-00000001" not in weeks.schemas()

    with time_machine.travel(now + 400 * DAY, tick=True):
        before = weeks.bucket.keys("shop/")
        dry = look_after("dry", datetime.now(UTC), dry_run=True)
        assert dry["dry_run"]
        assert {entry["kind"] for entry in dry["removed"]} >= {"batch", "export", "solution", "filter"}
        assert set(weeks.bucket.keys("shop/")) - set(before) == {
            weeks.keys.maintenance("dry", part) for part in ("objects", "resources", "report")
        }

        def refuse() -> None:
            raise RetriableError("train_full runs")

        solutions = weeks._arns("solutions", "solutionArn")
        maintain.remove_resources(
            "shop",
            "busy",
            datetime.now(UTC),
            dry_run=False,
            lock=refuse,
            is_recommending=lambda program: True,
        )
        assert weeks._arns("solutions", "solutionArn") == solutions
        look_after("late", datetime.now(UTC))
        weeks.check()


NOW = datetime.now(UTC)
ARMS = {"mailed": {"share": 0.5, "gets": "champion"}, "holdout": {"share": 0.5, "gets": "nothing"}}


def test_the_people_of_an_experiment_go_when_it_ended_long_ago(small_shop: SmallShop, tmp_path: Path) -> None:
    small_shop.write_sql("outcomes", "SELECT 1")
    small_shop.write_program(experiment={"name": "autumn", "arms": ARMS})
    audience = tmp_path / "audience.parquet"
    pq.write_table(pa.table({"user_id": ["u1"], "external_id": ["u1"]}), audience)
    assign_arms(small_shop.context, "run", NOW - timedelta(days=400), audience, tmp_path)
    bucket = small_shop.context.bucket

    def run(name: str, days: int, *, dry_run: bool = False) -> tuple[list[str], list[str]]:
        remove_objects("shop", name, NOW + timedelta(days=days), dry_run=dry_run)
        part = bucket.get_json(small_shop.context.keys.maintenance(name, "objects"))
        removed = [entry["name"] for entry in part["removed"] if entry["kind"] == "experiment"]
        return removed, bucket.keys("_experiments/autumn/autumn/")

    removed, everything = run("a", 0)
    assert (removed, len(everything)) == ([], 2), "it runs, however old"
    small_shop.write_program()
    assert run("b", 1, dry_run=True) == ([], everything)
    assert small_shop.context.store(LayerStore).document("autumn").get().running, "a dry run ends nothing"
    assert run("c", 1) == ([], everything)
    assert small_shop.context.store(LayerStore).document("autumn").get().running == {}
    assert run("d", 30) == ([], everything), "retention.days are 30"
    assert run("e", 31, dry_run=True) == (["autumn/autumn"], everything)
    assert run("f", 31) == (["autumn/autumn"], [])
    assert bucket.keys("_experiments/") == []
