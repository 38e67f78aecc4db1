"""An experiment over simulated days, through every stage from the audience to the local Braze.

The champion is retrained twice and rolled back once, a share changes, and the program is renamed.
``RECSYNC_LONG_TESTS=1`` simulates 30 days; otherwise there are fewer days between the same events.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from kit import Kit

from recsync.context import StageContext
from recsync.evaluation.store import Champion, ChampionStore, PromotionOutcome
from recsync.experiments.store import EnrolmentStore, LayerStore
from recsync.push.deliver import DeliveryReport, deliver
from recsync.push.plan import plan
from recsync.push.store import Deliveries
from recsync.recommend.prepare import prepare
from recsync.recommend.recommend import build_and_publish_lists
from recsync.recommend.store import RecommendationsStore

DAYS = 30 if os.environ.get("RECSYNC_LONG_TESTS") else 8
FIRST = datetime(2026, 11, 1, 5, tzinfo=UTC)
# Fixed, as are the users: everybody is in the same arm whenever the test runs.
EXPERIMENT = "autumn-2026"
PEOPLE, NEWCOMERS = 300, 6
ITEMS = [f"p-{n}" for n in range(40)]
ARMS = {"best": ("champion", 0.7), "popular": ("popular", 0.1), "out": ("nothing", 0.15)}
LATER = {"best": ("champion", 0.6), "popular": ("popular", 0.1), "out": ("nothing", 0.25)}
VERSION = "arn:aws:personalize:us-east-1:000000000000:solution/shop-user-personalization/{}"
# What happens before the run of a day.
SHARES, RENAMED = DAYS // 2, DAYS * 2 // 3
CHAMPIONS = {
    0: (1, PromotionOutcome.PROMOTED),
    DAYS // 4: (2, PromotionOutcome.PROMOTED),
    SHARES + 1: (3, PromotionOutcome.PROMOTED),
    RENAMED + 1: (2, PromotionOutcome.ROLLED_BACK),
}


@dataclass
class Month:
    """A program with an experiment, and what is known of its people.

    :param arms: by day, the arm of each person of the audience.
    """

    kit: Kit
    program: str
    warehouse: Path
    folder: Path
    arms: list[dict[str, str]] = field(default_factory=list)

    def write_program(self, arms: dict[str, tuple[str, float]]) -> None:
        program = {
            "recommendations": {"length": 5, "min_length": 1},
            "experiment": {
                "name": EXPERIMENT,
                "arms": {name: {"gets": gets, "share": share} for name, (gets, share) in arms.items()},
            },
            "braze": {
                "attribute": "recs",
                "attributes": [{"name": f"recs_{source}", "from": source} for source in ("arm", "version")],
                "update_existing_only": False,
                "delivery": {"canary_share": 0, "verify_users": 0, "max_removed_share": 0.08},
            },
        }
        for kind in ("sql", "schemas"):
            target = self.kit.include / kind / self.program
            if not target.exists():
                (self.kit.include / kind / self.kit.name).rename(target)
        for file in (self.kit.include / "programs").glob(f"{self.kit.name}*.yaml"):
            file.unlink()
        (self.kit.include / "programs" / f"{self.program}.yaml").write_text(json.dumps(program))
        queries = {
            "audience": "SELECT user_id, external_id FROM people",
            "catalogue": "SELECT item_id FROM items",
            "interactions": "SELECT user_id, item_id, timestamp FROM events",
            "outcomes": "SELECT 1",
        }
        for query, text in queries.items():
            (self.kit.include / "sql" / self.program / f"{query}.sql").write_text(text)

    def fill_warehouse(self, day: int) -> None:
        """Let some people come, and others leave for a day."""
        moment = int((FIRST + timedelta(days=day - 1)).timestamp())
        with duckdb.connect(str(self.warehouse)) as database:
            database.execute(
                f"CREATE OR REPLACE TABLE people AS SELECT 'u' || n AS user_id, "
                f"format('{self.kit.name}-{{:06d}}', n) AS external_id "
                f"FROM range({PEOPLE + day * NEWCOMERS}) t(n) WHERE (n + {day}) % 17 <> 0"
            )
            database.execute(
                f"CREATE OR REPLACE TABLE items AS SELECT 'p-' || n AS item_id FROM range({len(ITEMS)}) t(n)"
            )
            database.execute(
                f"CREATE OR REPLACE TABLE events AS SELECT 'u' || n AS user_id, 'p-' || (n * n % 9) AS item_id, "
                f"{moment} AS timestamp FROM range(100) t(n)"
            )

    def promote(self, version: int, outcome: PromotionOutcome, day: int) -> None:
        champion = Champion(VERSION.format(version), "FULL", f"{day}", f"{day}", {}, outcome=outcome)
        self.context.store(ChampionStore).promote(champion)

    @property
    def context(self) -> StageContext:
        return StageContext.of(self.program)

    def run(self, day: int) -> DeliveryReport:
        """Recommend and push as the DAGs do, with answers in the place of Amazon Personalize."""
        moment = FIRST + timedelta(days=day)
        prepared = prepare(self.program, f"run-{day}", moment)
        self._answer(prepared)
        manifest = build_and_publish_lists(self.program, prepared, [])
        path = self.context.store(RecommendationsStore).download_audience(
            prepared["run"], self.folder / "audience.parquet"
        )
        rows = pq.read_table(str(path)).to_pylist()
        self.arms.append({row["external_id"]: row["arm"] for row in rows})
        assert manifest["arms"] == {arm: n for arm, n in Counter(self.arms[-1].values()).items() if arm}
        return deliver(self.program, plan(self.program, None, dag_run=f"push-{day}").delivery)

    def _answer(self, prepared: dict[str, Any]) -> None:
        bucket = self.context.bucket
        found = []
        for line in (bucket.get(prepared["input"].removeprefix(bucket.uri(""))) or b"").splitlines():
            user = json.loads(line)["userId"]
            digest = hashlib.blake2b(f"{user}{prepared['solution_version_arn']}".encode()).digest()
            items = list(dict.fromkeys(ITEMS[byte % len(ITEMS)] for byte in digest))[:8]
            found.append({"input": {"userId": user}, "output": {"recommendedItems": items}, "error": None})
        key = prepared["output"].removeprefix(bucket.uri("")) + "users.json.out"
        bucket.put(key, "".join(json.dumps(line) + "\n" for line in found).encode())


@pytest.fixture
def month(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Month:
    warehouse = tmp_path / "shop.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(warehouse)}))
    monkeypatch.setenv("AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN", "arn:aws:iam::000000000000:role/r")
    found = Month(kit, kit.name, warehouse, tmp_path)
    found.write_program(ARMS)
    return found


@pytest.mark.timeout(300)
def test_nobody_changes_the_arm_without_a_record_and_held_out_people_are_never_written(month: Month) -> None:
    kit = month.kit
    lists: set[str] = set()  # who has a list in Braze
    for day in range(DAYS):
        if day == SHARES:
            month.write_program(LATER)
        if day == RENAMED:
            month.program = f"{kit.name}-new"
            month.write_program(LATER)
            month.promote(*CHAMPIONS[SHARES + 1], day)
        if day in CHAMPIONS:
            month.promote(*CHAMPIONS[day], day)
        month.fill_warehouse(day)
        kit.servers.control("DELETE", "writes")
        report = month.run(day)
        arms = month.arms[-1]
        assert sum(report.outcomes.values()) == report.audience == len(arms), f"day {day}"
        out = {who for who, arm in arms.items() if arm == "out"}
        removed = out & lists if day != RENAMED else set()
        assert report.outcomes["held_out"] == len(out - removed)
        assert report.outcomes["removed"] == len(removed)
        kit.servers.control("POST", "flush")
        writes = kit.servers.control("GET", "writes", params={"min": 1})["by_user"]
        assert {who: writes[who] for who in out & writes.keys()} == dict.fromkeys(removed, 1), f"day {day}"
        shown = {name: kit.in_braze(name) for name in ("recs", "recs_arm", "recs_version")}
        assert not out & shown["recs"].keys()
        assert {who: arm for who, arm in arms.items() if arm not in {"", "out"}} == {
            who: arm for who, arm in shown["recs_arm"].items() if who in arms
        }
        # The version is that of the person's own list; popular items are of none.
        assert not [who for who in shown["recs_version"] if arms.get(who) == "popular"]
        lists = set(shown["recs"])
    check_records(month)


def check_records(month: Month) -> None:
    """Compare who changed the arm with what the layer and the table of people say."""
    name = EXPERIMENT
    layer = month.context.store(LayerStore).document(name).get()
    changes = [(change.what, change.at[:10]) for change in layer.changes]
    dated = [
        (what, f"{FIRST + timedelta(days=day):%Y-%m-%d}")
        for what, day in (("started", 0), ("shares", SHARES), ("program", RENAMED))
    ]
    assert changes == dated
    assert layer.experiments[name].programs == (month.kit.name, f"{month.kit.name}-new")
    last: dict[str, str] = {}
    moved: dict[str, int] = {}
    for day, arms in enumerate(month.arms):
        for who, arm in arms.items():
            if last.get(who, arm) != arm:
                moved[who] = day
            last[who] = arm
    assert set(moved.values()) <= {SHARES, SHARES + 1}, "only the changed share moves anybody"
    # 10 % of the people moved from the best lists to none; nobody else did.
    assert 0.05 * len(last) < len(moved) < 0.16 * len(last)
    assert {last[who] for who in moved} == {"out"}
    store = month.context.store(EnrolmentStore)
    table = store.download(store.read(name, name)[0], month.folder / "enrolled.parquet")
    rows = pq.read_table(str(table)).to_pylist()
    assert {row["external_id"]: row["arm"] for row in rows if row["until"] is None} == {
        who: arm for who, arm in last.items() if arm
    }
    assert {row["external_id"] for row in rows if row["until"] is not None} == set(moved)
    assert len(month.context.store(Deliveries).names()) == DAYS - RENAMED
