"""Days of recommendations and deliveries at given times, and their tables in DuckDB, by the generated DDL."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import time_machine
from kit import Kit, Servers
from stage_shop import StageShop

from recsync.push.accounts import Outcome
from recsync.push.deliver import DeliveryReport
from recsync.push.plan import delivery_name
from recsync.push.plan_format import PARTS, Estimate, PlanFigures
from recsync.push.store import Deliveries, PlanManifest
from recsync.recommend.lists.audience import AUDIENCE
from recsync.tables.ddl import TableLocation, ddl
from recsync.tables.schema import TABLES
from recsync.tables.store import TableStore
from recsync.tables.write import STEPS, write_table

FIRST = datetime(2026, 1, 1, 6, tzinfo=UTC)


@dataclass(frozen=True)
class TableKit:
    """A program with tables, at any time.

    :param folder: into which the tables are downloaded.
    """

    kit: Kit
    folder: Path

    def moment(self, day: int, hours: float = 0) -> datetime:
        return FIRST + timedelta(days=day, hours=hours)

    def user(self, external_id: str) -> str:
        """Give the person's id in the warehouse."""
        return f"u-{external_id}"

    def deliver(self, day: int, lists: Mapping[str, Sequence[str]], **published: Any) -> Any:
        """Publish and push the lists of a day, with an audience; return the delivery's report."""
        run, context = f"{day:03}", self.kit.context
        with time_machine.travel(self.moment(day), tick=True):
            people = [{"user_id": self.user(one), "external_id": one} for one in lists]
            context.bucket.put_table(
                context.keys.audience(run),
                pa.Table.from_pylist(people, AUDIENCE) if people else AUDIENCE.empty_table(),
            )
            self.kit.publish(run, lists, **published)
            held_out = published.get("held_out")
            arms = published.get("arms") or {}
            return self._push(
                run, day, lists, {one for one in lists if held_out and arms.get(one) == held_out}
            )

    def _push(self, run: str, day: int, lists: Mapping[str, Sequence[str]], held_out: Set[str]) -> Any:
        return self.kit.push(run, dag_run=f"day {day}", allow_removals=True)

    def write(self, day: int, hours: float = 3, *, steps: Iterable[str] = STEPS) -> dict[str, dict[str, int]]:
        """Run the stage, or some of its tasks."""
        moment = self.moment(day, hours)
        with time_machine.travel(moment, tick=True):
            return {table: write_table(self.kit.name, table, moment) for table in steps}

    def keys(self, table: str) -> list[str]:
        return [each.key for each in self.kit.context.store(TableStore).objects(TABLES[table])]

    def database(self) -> duckdb.DuckDBPyConnection:
        """Download the tables, and open them by the DDL for DuckDB in the schema ``t``."""
        bucket, keys = self.kit.context.bucket, self.kit.context.keys
        root = f"{keys.program}/tables/"
        for key in bucket.keys(root):
            path = self.folder / key.removeprefix(root)
            path.parent.mkdir(parents=True, exist_ok=True)
            bucket.download(key, path)
        found = [table for name, table in TABLES.items() if (self.folder / name).exists()]
        database = duckdb.connect()
        database.execute("SET TimeZone = 'UTC'")
        for statement in ddl(TableLocation(str(self.folder), "t"), "duckdb", found):
            database.execute(statement)
        return database

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database() as database:
            return database.sql(query).fetchall()


@dataclass(frozen=True)
class MadeKit(TableKit):
    """Deliveries that leave on S3 what a delivery leaves, without a Braze.

    :param sent: what everybody was sent.
    """

    sent: dict[str, list[str]] = field(default_factory=dict)

    def _push(
        self, run: str, day: int, lists: Mapping[str, Sequence[str]], held_out: Set[str]
    ) -> DeliveryReport:
        rows = [
            {
                "external_id": one,
                **self._account(one, [*items], without="held_out" if one in held_out else "suppressed"),
            }
            for one, items in lists.items()
        ]
        left = [one for one in self.sent if one not in lists]
        name, deliveries = delivery_name(run), self.kit.context.store(Deliveries)
        outcomes = Counter(row["outcome"] for row in rows)
        report = DeliveryReport(
            name, run, len(rows), {each.value: outcomes[each] for each in Outcome}, {}, len(left), 0, 0, 1, {},
            sum(row["data_points"] for row in rows) + len(left), 0, 0, "", 0.1,
        )  # fmt: skip
        figures = PlanFigures(len(rows), dict.fromkeys(PARTS, 0), 0, 0, 0, {}, {}, 0, 0)
        plan = PlanManifest(
            name, run, self.moment(day).isoformat(), f"day {day}", False, figures, Estimate(0, 0, 0, 0)
        )
        bucket, keys = self.kit.context.bucket, self.kit.context.keys
        bucket.put_table(deliveries.accounts_key(name), pa.Table.from_pylist(rows))
        bucket.put_json(f"{keys.delivery(name)}plan.json", asdict(plan))
        deliveries.put_report(name, "report", asdict(report))
        for one in left:
            del self.sent[one]
        return report

    def _account(self, person: str, items: list[str], *, without: str) -> dict[str, Any]:
        had = self.sent.pop(person, [])
        if items:
            self.sent[person] = items
        outcome = ("unchanged" if had == items else "sent") if items else "removed" if had else without
        reason = "" if items else "nothing fit to mail"
        return {"outcome": outcome, "reason": reason, "data_points": int(outcome in {"sent", "removed"})}


@pytest.fixture
def made_kit(stage_shop: StageShop, tmp_path: Path) -> MadeKit:
    stage_shop.write(
        tables={}, recommendations={"length": 5}, braze={"attribute": "recs", "update_existing_only": False}
    )
    return MadeKit(Kit(Servers("", "", ""), stage_shop.include, "shop"), tmp_path / "tables")


@pytest.fixture
def table_kit(kit: Kit, tmp_path: Path) -> TableKit:
    kit.write_program()
    path = kit.include / "programs" / f"{kit.name}.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tables": {}}))
    return TableKit(kit, tmp_path / "tables")
