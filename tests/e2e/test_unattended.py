"""A program as it lives: a real scheduler, short schedules, and nothing started by hand after the first training.

Takes three quarters of an hour: RECSYNC_LONG_TESTS=1 runs it. It prints the expected and the actual runs of each DAG.
test_scheduler.py has the short version.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from croniter import croniter
from shop import CUSTOMERS, PROGRAM, Shop
from stacks import Stack, kill_and_restart, open_shop, wait_until_scheduled

from stack.airflow_api import FINISHED, wait_for

NAME = "all-day"
CRONS = {
    "export": "*/5 * * * *",
    "train_full": "2-59/10 * * * *",
    "recommend": "6-59/10 * * * *",
    "maintain": "8-59/10 * * * *",
    "push": "9-59/10 * * * *",
}
INTERVAL = timedelta(minutes=5)
# Each thing on a schedule of ten minutes happens three times, and six intervals are exported.
LIFE = timedelta(minutes=31)
# Rows reach Braze with the push that follows the export of their interval. Before it may stand an update, a FULL
# training that it waits for, and a push that is under way.
PROMISE = 3 * INTERVAL
# Who hands over to whom: asset -> consumer, and the task of each emitter that emits it.
HANDOVERS = {
    "exports": ("train_update", {"export": "announce"}),
    "champion": ("recommend", {"train_full": "promote", "train_update": "promote"}),
    "recommendations": ("push", {"recommend": "publish"}),
}
STAGES = ("export", "train_full", "train_update", "recommend", "push", "maintain")
SETTLE_SECONDS = 1200
LATER = datetime.max.replace(tzinfo=UTC)

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(
        not os.environ.get("RECSYNC_LONG_TESTS"), reason="takes long: RECSYNC_LONG_TESTS=1 runs it"
    ),
]


@dataclass
class Life:
    """One program under its own schedule.

    :param began: when the last of its DAGs was unpaused.
    :param ended: ticks and events after this moment are not counted.
    :param came: start of an interval -> the customer who came in it.
    :param seen: customer -> when Braze showed their list first.
    """

    stack: Stack
    shop: Shop
    began: datetime = LATER
    ended: datetime = LATER
    came: dict[datetime, str] = field(default_factory=dict)
    seen: dict[str, datetime] = field(default_factory=dict)

    def go_on(self, until: datetime) -> None:
        """Let a new product and a new customer come in each interval, and watch who gets a list."""
        while datetime.now(UTC) < until:
            self.look()
            now = datetime.now(UTC)
            start = datetime.fromtimestamp(now.timestamp() // 300 * 300, UTC)
            # Not in the interval that ends just now: the rows would lie in the next one.
            if start not in self.came and now < start + INTERVAL - timedelta(seconds=20):
                product, customer = f"new-{start:%H%M}", f"came {start:%H%M}"
                self.shop.add_products([(product, 2.0, now)])
                buyers = [customer, *(f"c {number}" for number in range(CUSTOMERS // 2))]
                self.shop.add_orders([(buyer, product, now) for buyer in buyers])
                self.shop.add_orders([(customer, f"p-{number}", now) for number in range(3)])
                self.came[start] = customer
            time.sleep(10)

    def look(self) -> None:
        """Note who has a list by now."""
        profiles = self.stack.services.profiles()
        for customer in self.came.values():
            if profiles.get(f"braze-{customer}", {}).get("recs"):
                self.seen.setdefault(customer, datetime.now(UTC))

    def runs(self, stage: str, run_type: str) -> list[dict[str, Any]]:
        return self.stack.api.dag_runs(f"{NAME}_{stage}", run_type=run_type)

    def ticks(self, stage: str) -> list[datetime]:
        """List when the schedule asked for a run."""
        ticks = croniter(CRONS[stage], self.began)
        found = []
        while (tick := ticks.get_next(datetime)) <= self.ended:
            found.append(tick)
        return found

    def events(self, asset: str) -> list[dict[str, Any]]:
        """List the events of an asset up to the end, oldest first."""
        found = [
            event
            for stage in HANDOVERS[asset][1]
            for event in self.stack.api.asset_events(source_dag_id=f"{NAME}_{stage}")
            if event["name"] == f"{NAME}_{asset}" and moment(event["timestamp"]) <= self.ended
        ]
        return sorted(found, key=lambda event: moment(event["timestamp"]))

    def takers(self, asset: str) -> list[dict[str, Any] | None]:
        """Give the run that takes each event: the first that an asset started after it; None while there is none."""
        started = self.runs(HANDOVERS[asset][0], "asset_triggered")
        return [
            next((run for run in started if moment(run["queued_at"]) >= moment(event["timestamp"])), None)
            for event in self.events(asset)
        ]

    def has_settled(self) -> bool:
        """Tell whether everything that was to start until the end has started and ended."""
        taken = [run for asset in HANDOVERS for run in self.takers(asset)]
        due = [run for stage in CRONS for run in self.due(stage)]
        counts = all(len(self.due(stage)) >= len(self.ticks(stage)) for stage in CRONS)
        return counts and all(run and run["state"] in FINISHED for run in [*taken, *due])

    def due(self, stage: str) -> list[dict[str, Any]]:
        """List the runs that the schedule started for ticks between beginning and end."""
        return [r for r in self.runs(stage, "scheduled") if self.began < moment(r["run_after"]) <= self.ended]

    def table(self) -> list[tuple[str, str, int, int]]:
        """Count what should have run and what ran: DAG, started by, expected, actual."""
        rows = [(stage, "schedule", len(self.ticks(stage)), len(self.due(stage))) for stage in CRONS]
        for asset, (consumer, emitters) in HANDOVERS.items():
            events, takers = self.events(asset), self.takers(asset)
            emitted = sum(
                moment(run["end_date"]) <= self.ended
                and self.stack.api.xcom(f"{NAME}_{stage}", run["dag_run_id"], _result_of(task)) is not None
                for stage, task in emitters.items()
                for run in self.stack.api.dag_runs(f"{NAME}_{stage}", state="success")
            )
            rows.append((f"{asset} (events)", "their tasks", emitted, _ended_by(events, self)))
            # Events that come while a run is active are one run after it.
            expected = len({run["dag_run_id"] for run in takers if run}) + takers.count(None)
            last = max((moment(run["queued_at"]) for run in takers if run), default=self.began)
            actual = [r for r in self.runs(consumer, "asset_triggered") if moment(r["queued_at"]) <= last]
            rows.append((consumer, f"{len(events)} events", expected, len(actual)))
        failed = [r for stage in STAGES for r in self.stack.api.dag_runs(f"{NAME}_{stage}", state="failed")]
        return [*rows, ("all", "failed", 0, len(failed))]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _result_of(task: str) -> str:
    # announce returns nothing: publish, before it, does.
    return {"announce": "publish"}.get(task, task)


def _ended_by(events: list[dict[str, Any]], life: Life) -> int:
    """Count the events of runs that had ended by the end, as their emitters are counted."""
    api = life.stack.api
    ends = (api.dag_run(event["source_dag_id"], event["source_run_id"])["end_date"] for event in events)
    return sum(bool(end) and moment(end) <= life.ended for end in ends)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Train once by hand, then let the program live, with a restart of scheduler and triggerer in the middle."""
    with open_shop(tmp_path_factory.mktemp("unattended"), NAME) as stack:
        lived = Life(stack, Shop(stack.services, stack.include, NAME))
        # Only now: until there is a champion, a recommend of the schedule fails.
        stack.change_program(NAME, f"{PROGRAM}schedules: {json.dumps(CRONS)}\n")
        for stage, cron in CRONS.items():
            wait_until_scheduled(stack, f"{NAME}_{stage}", cron)
        for stage in STAGES:
            stack.api.unpause(f"{NAME}_{stage}")
        lived.began = datetime.now(UTC)
        lived.go_on(lived.began + LIFE / 2)
        kill_and_restart(stack, "triggerer", "scheduler")
        lived.go_on(lived.began + LIFE)
        lived.ended = datetime.now(UTC)

        def settled() -> bool:
            lived.look()
            return lived.has_settled()

        wait_for(settled, "all that began to end", timeout_seconds=SETTLE_SECONDS, poll_seconds=10)
        yield lived


def test_each_dag_ran_exactly_as_often_as_its_schedule_and_the_stages_before_it_ask(life: Life) -> None:
    table = life.table()
    print(f"\n| DAG | started by | expected | actual | ({life.began:%H:%M:%S} to {life.ended:%H:%M:%S} UTC)")
    for dag, by, expected, actual in table:
        print(f"| {dag} | {by} | {expected} | {actual} |")
    assert [row for row in table if row[2] != row[3]] == []
    happened = {stage: len(life.ticks(stage)) for stage in CRONS}
    assert min(happened.values()) >= 3, happened
    trained = [run for run in life.takers("exports") if run]
    promoted = [
        run for run in trained if life.stack.api.xcom(f"{NAME}_train_update", run["dag_run_id"], "promote")
    ]
    assert len(promoted) >= 3


def test_every_interval_is_imported_and_its_customer_has_a_list_in_time(life: Life) -> None:
    stack = life.stack
    body = stack.s3.get_object(Bucket=stack.plan.settings.bucket, Key=f"{NAME}/state/imports.json")["Body"]
    state = json.loads(body.read())
    full_until = moment(state["datasets"]["ITEMS"]["until"])
    closed = {start: customer for start, customer in life.came.items() if start + INTERVAL <= life.ended}
    print("\n| interval | customer in Braze after its end |")
    for start, customer in closed.items():
        after = life.seen[customer] - (start + INTERVAL) if customer in life.seen else None
        print(f"| {start:%H:%M} | {after} |")
    imported = [
        start
        for start in closed
        if start < full_until or "ITEMS" in state["intervals"].get(f"{start:%Y-%m-%dT%H%M}Z", {})
    ]
    due = [start for start in closed if start + INTERVAL + PROMISE <= life.ended]
    assert [start for start in due if start not in imported] == []
    assert [
        start for start in due if life.seen.get(closed[start], life.ended) > start + INTERVAL + PROMISE
    ] == []
    assert len(due) >= 3
