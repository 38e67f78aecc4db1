"""Streaming a plan into a local Personalize: each row once under kills, refusals, and plans that are overtaken."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from stage_shop import StageShop

import moto_in_process
from personalize_local.server import Server
from personalize_local.service import Settings
from recsync.costs.ledger import CostLedger, month_of
from recsync.costs.prices import UsageKind
from recsync.errors import BudgetExceededError, FatalError
from recsync.imports import streaming
from recsync.imports.dataset_state import DatasetState, LastFull
from recsync.imports.plans import StreamPlan, Taken
from recsync.imports.store import ImportStore
from recsync.imports.streaming import stream
from recsync.program import DatasetType

EVENTS, ITEMS = DatasetType.INTERACTIONS, DatasetType.ITEMS
HEADERS = {EVENTS: "USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP", ITEMS: "ITEM_ID,CATEGORY"}
UNTIL = datetime(2026, 11, 22, 5, tzinfo=UTC)
CHUNK = 20


@dataclass
class Streams:
    """The program, a server that takes its rows, and what the server has."""

    shop: StageShop
    owners: dict[str, str]
    folder: Path

    def plan(self, rows: dict[DatasetType, list[list[str]]], run: str = "run") -> dict[str, Any]:
        """Put objects of rows, oldest first, and plan them."""
        context, taken = self.shop.context, dict[DatasetType, tuple[Taken, ...]]()
        for kind, objects in rows.items():
            for number, lines in enumerate(objects):
                key = context.keys.import_object(run, kind, f"h{number}")
                context.bucket.put(key, "".join(f"{line}\n" for line in (HEADERS[kind], *lines)).encode())
                taken[kind] = (*taken.get(kind, ()), Taken(f"h{number}", f"{run} {kind} {number}", key))
        state = context.store(ImportStore).read()
        return StreamPlan(run, {}, taken, {kind: state.version(kind) for kind in rows}).to_json()

    def stream(self, plan: dict[str, Any]) -> dict[DatasetType, Any]:
        return stream("shop", plan, self.owners)

    def held(self) -> list[dict[str, Any]]:
        """Read every row that the server took, repeated ones too."""
        with closing(sqlite3.connect(self.folder / "streams.sqlite")) as log:
            return [json.loads(cells) for (cells,) in log.execute("SELECT cells FROM log ORDER BY id")]

    @property
    def state(self) -> DatasetState:
        return self.shop.context.store(ImportStore).read()


@pytest.fixture
def streams(stage_shop: StageShop, s3_url: str, tmp_path: Path, monkeypatch: Any) -> Iterator[Streams]:
    streaming_settings = {"event_calls_per_second": 400, "connections": 4}
    stage_shop.write(
        datasets={"items": {}},
        personalize={
            "recipe": "aws-user-personalization-v2",
            "update_by": "events",
            "streaming": streaming_settings,
        },
    )
    full = {kind: LastFull(UNTIL) for kind in (EVENTS, ITEMS)}
    stage_shop.context.store(ImportStore).change(lambda _: DatasetState(full))
    monkeypatch.setattr(streaming, "_CHUNK_ROWS", dict.fromkeys(DatasetType, CHUNK))
    folder = tmp_path / "personalize"
    with Server(Settings(folder, time_scale=0, workers=1)) as server:
        services = {"s3": s3_url, "personalize": server.url, "personalize-events": server.url}
        endpoints = {name: {"endpoint_url": url} for name, url in services.items()}
        extra = {"region_name": "us-east-1", "service_config": endpoints}
        connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
        client = boto3.client("personalize", endpoint_url=server.url, region_name="us-east-1")
        yield Streams(stage_shop, set_up(client, stage_shop.include), folder)


def set_up(client: Any, include: Path) -> dict[str, str]:
    """Make the datasets and the event tracker."""
    group = client.create_dataset_group(name="shop")["datasetGroupArn"]
    wait(lambda: client.describe_dataset_group(datasetGroupArn=group)["datasetGroup"])
    owners = {}
    for kind in (EVENTS, ITEMS):
        text = (include / f"schemas/shop/{kind.folder}.json").read_text()
        schema = client.create_schema(name=kind.folder, schema=text)["schemaArn"]
        arn = client.create_dataset(
            name=kind.folder, schemaArn=schema, datasetGroupArn=group, datasetType=kind.value
        )["datasetArn"]
        wait(lambda arn=arn: client.describe_dataset(datasetArn=arn)["dataset"])
        owners[kind.value] = arn
    tracker = client.create_event_tracker(name="shop", datasetGroupArn=group)
    wait(lambda: client.describe_event_tracker(eventTrackerArn=tracker["eventTrackerArn"])["eventTracker"])
    return {**owners, EVENTS.value: tracker["trackingId"]}


def wait(describe: Any) -> None:
    while describe()["status"] != "ACTIVE":
        time.sleep(0.01)


def events(count: int, first: int = 0) -> list[str]:
    return [f"u{n},i{n % 7},buy,{1_700_000_000 + n}" for n in range(first, first + count)]


def test_items_come_first_and_every_object_is_marked_with_what_it_cost(streams: Streams) -> None:
    plan = streams.plan({EVENTS: [events(30), events(5, 30)], ITEMS: [["i1,fruit"]]})
    found = streams.stream(plan)
    assert {kind: each.rows for kind, each in found.items()} == {EVENTS: 35, ITEMS: 1}
    held = streams.held()
    assert held[0] == {"ITEM_ID": "i1", "CATEGORY": "fruit"}
    assert sorted(row["TIMESTAMP"] for row in held[1:]) == [1_700_000_000 + n for n in range(35)]
    assert streams.state.intervals == {
        "h0": {"INTERACTIONS": "run INTERACTIONS 0", "ITEMS": "run ITEMS 0"},
        "h1": {"INTERACTIONS": "run INTERACTIONS 1"},
    }
    assert set(streams.state.objects) == {"h0", "h1"}, "late rows are compared with them"
    assert not streams.state.full[EVENTS].alone
    with closing(sqlite3.connect(streams.folder / "streams.sqlite")) as log:
        (received,) = log.execute("SELECT bytes FROM received").fetchone()
    booked = streams.shop.context.store(CostLedger).read(month_of(datetime.now(UTC)))
    assert booked.used() == {UsageKind.INGESTED_BYTES: received}
    assert {entry.mode for entry in booked.entries.values()} == {"STREAM"}

    assert streams.stream(plan) == {}, "a task that is cleared streams nothing again"
    assert streams.held() == held


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.long(reason="20 kills"))])
def test_each_row_is_there_once_after_kills_at_random_moments(streams: Streams, kills: int) -> None:
    rows = events(60 * kills)
    plan = streams.plan({EVENTS: [rows[:CHUNK], rows[CHUNK:]], ITEMS: [["i1,fruit", "i2,nut"]]})
    killed, chance = 0, random.Random(kills)
    while killed < kills:
        child = forked(streams, plan)
        time.sleep(chance.uniform(0.02, 0.3))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "all rows were streamed before the last kill"
        killed += 1
    streams.stream(plan)
    held = streams.held()
    assert len([row for row in held if "TIMESTAMP" in row]) == len(rows)
    assert len({row["TIMESTAMP"] for row in held if "TIMESTAMP" in row}) == len(rows)
    with closing(sqlite3.connect(streams.folder / "streams.sqlite")) as log:
        (received,) = log.execute("SELECT bytes FROM received").fetchone()
    used = streams.shop.context.store(CostLedger).read(month_of(datetime.now(UTC))).used()
    per_row = used[UsageKind.INGESTED_BYTES] / len(rows)
    resent = (received - used[UsageKind.INGESTED_BYTES]) / per_row
    assert resent <= kills * (CHUNK + 4), "at most the chunk in flight is sent again"


def forked(streams: Streams, plan: dict[str, Any]) -> int:
    """Stream in a process of its own."""
    child = os.fork()
    if child:
        return child
    try:
        # The servers are in the parent, and clients of the parent's must not be used: their sockets are shared.
        moto_in_process._APPLICATIONS.clear()
        os.environ["AIRFLOW_CONN_AWS_DEFAULT"] += " "
        streams.stream(plan)
    finally:
        os._exit(1)


def test_rows_that_are_refused_are_reported_and_the_others_are_there(streams: Streams) -> None:
    # The server knows no schema without CATEGORY, so an item without one is refused by the service.
    items = [*(f"i{n},fruit" for n in range(11)), "bad,", ",none", "last,nut"]
    found = streams.stream(streams.plan({ITEMS: [items]}))
    assert (found[ITEMS].rows, found[ITEMS].refused) == (12, 2)
    assert [row["ITEM_ID"] for row in streams.held()] == [*(f"i{n}" for n in range(11)), "last"]
    context = streams.shop.context
    report = context.bucket.get_json(context.keys.run_document("imports", "run", "refused"))
    assert report["items/h0"]["refused_rows"] == 2
    assert "CATEGORY is required" in report["items/h0"]["reasons"]["12"]
    assert report["items/h0"]["reasons"]["13"] == "ITEM_ID is empty"


def test_a_chunk_of_which_every_row_is_refused_is_an_error_and_not_done(streams: Streams) -> None:
    streams.owners[EVENTS.value] = "the id of a tracker that was deleted"
    with pytest.raises(
        FatalError, match="refuses every one of 12 rows of interactions: There is no event tracker"
    ):
        streams.stream(streams.plan({EVENTS: [events(12)]}))
    assert streams.state.intervals == {}


def test_a_plan_that_was_overtaken_streams_nothing(streams: Streams) -> None:
    old = streams.plan({ITEMS: [["i1,fruit"]]}, "old")
    streams.stream(streams.plan({ITEMS: [["i1,nut"]]}, "new"))
    with pytest.raises(FatalError, match="Clear this run from its task plan on"):
        streams.stream(old)
    assert [row["CATEGORY"] for row in streams.held()] == ["nut"]


def test_a_budget_that_is_used_up_stops_a_stream_before_its_first_call(streams: Streams) -> None:
    path = streams.shop.include / "programs" / "shop.yaml"
    program = json.loads(path.read_text())
    path.write_text(json.dumps({**program, "budget": {"monthly": 0.000001}}))
    (streams.shop.include / "prices.yaml").write_text(
        'lists: [{since: "2020-01", prices: {ingested_bytes: {price: 1}}}]'
    )
    with pytest.raises(BudgetExceededError, match="streaming of interactions/h0"):
        streams.stream(streams.plan({EVENTS: [events(3)]}))
    assert streams.held() == []


def test_another_run_goes_on_with_what_a_killed_run_left(streams: Streams) -> None:
    rows = events(90)
    child = forked(streams, streams.plan({EVENTS: [rows]}))
    while len(streams.held()) < 2 * CHUNK:
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    before = len(streams.held())
    again = StreamPlan.from_json(streams.plan({EVENTS: [rows]}, "next"))
    # The same published object, so the same digest.
    taken = (Taken("h0", "run INTERACTIONS 0", again.taken[EVENTS][0].key),)
    plan = StreamPlan("next", {}, {EVENTS: taken}, again.after).to_json()
    assert streams.stream(plan)[EVENTS].rows == 90, (
        "with the rows of the killed run, whose cost nobody recorded"
    )
    assert before < len(streams.held()) == 90
