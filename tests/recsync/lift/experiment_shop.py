"""The program of ``stage_shop`` with an experiment, and what its runs would have left: people, lists, accounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from stage_shop import StageShop

from recsync.context import StageContext
from recsync.experiments.layer import Change, Layer, LayerExperiment
from recsync.experiments.store import (
    ENROLLED,
    Enrolment,
    EnrolmentStore,
    LayerStore,
)
from recsync.push.plan_format import Estimate, PlanFigures
from recsync.push.store import Deliveries, PlanManifest
from recsync.recommend.lists.catalog import CATALOG, positions_in
from recsync.recommend.lists.list_partition import LISTS
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore

START = datetime(2026, 9, 1, 5, tzinfo=UTC)
SINCE = int(START.timestamp())
DAY = 86_400
ARMS = {
    "recommended": {"share": 0.5, "gets": "champion"},
    "holdout": {"share": 0.5, "gets": "nothing"},
}
OUTCOMES_SQL = "SELECT user_id, at AS timestamp, value, item_id, event, id AS outcome_id FROM outcomes"

# user_id, seconds since the start, value, item_id, event, outcome_id
Row = tuple[str | None, int, float | None, str | None, str | None, str | None]


@dataclass(frozen=True)
class ExperimentShop:
    """The program, and a session of its warehouse."""

    shop: StageShop
    session: psycopg.Connection[Any]

    @property
    def context(self) -> StageContext:
        return self.shop.context

    def write_program(self, arms: Mapping[str, Any] = ARMS, **experiment: Any) -> None:
        """Write the program file, with an experiment of 7 days of a pre-period."""
        fields = {
            "name": "autumn",
            "layer": "mail",
            "arms": arms,
            "pre_days": 7,
            "window_days": 7,
            **experiment,
        }
        (self.shop.include / "sql/shop/outcomes.sql").write_text(OUTCOMES_SQL)
        self.shop.write(experiment=fields)

    def enrol(
        self,
        rows: Iterable[tuple[str, str, int, int | None]],
        shares: Sequence[tuple[int, Mapping[str, float]]] = ((0, {"recommended": 0.5, "holdout": 0.5}),),
        programs: tuple[str, ...] = ("shop",),
    ) -> None:
        """Give people their arms.

        :param rows: user, arm, since and until, in seconds since the start.
        :param shares: with the second from which on they hold.
        """
        columns = list(zip(*rows, strict=True))
        table = pa.table(
            {
                "user_id": columns[0],
                "external_id": [f"b-{user}" for user in columns[0]],
                "arm": columns[1],
                "stratum": pa.nulls(len(columns[0]), pa.string()),
                "since": [SINCE + second for second in columns[2]],
                "until": [None if second is None else SINCE + second for second in columns[3]],
            },
            schema=ENROLLED,
        )
        folder = self.shop.include / "enrolled.parquet"
        pq.write_table(table, folder)
        context = self.context
        store = context.store(EnrolmentStore)
        found, etag = store.read("mail", "autumn")
        store.publish("mail", "autumn", Enrolment(found.generation, found.table, run="r"), folder, etag)
        changes, before = [], {}
        for second, after in shares:
            at = (START + timedelta(seconds=second)).isoformat()
            what = "shares" if changes else "started"
            changes.append(Change(at, "r", programs[-1], "autumn", what, before, after))
            before = dict(after)
        entry = LayerExperiment(programs[-1], programs, before, {}, {}, since=START.isoformat())
        context.store(LayerStore).document("mail").update(lambda _: Layer({"autumn": entry}, tuple(changes)))

    def deliver(
        self, day: int, lists: Mapping[str, Sequence[str]], outcomes: Mapping[str, str], program: str = "shop"
    ) -> None:
        """Publish lists by user and the accounts of their delivery, an hour after the start of a day."""
        at = START + timedelta(days=day, hours=1)
        run, keys = f"{at:%Y%m%dT%H%M%S}-r", type(self.context.keys)(program)
        items = sorted({item for each in lists.values() for item in each} | {"p0"})
        catalog = pa.table({"item_id": items, "fields": ["{}"] * len(items)}, schema=CATALOG)
        columns = {field.name: pa.nulls(len(lists), field.type) for field in LISTS}
        columns["external_id"] = pa.array([f"b-{user}" for user in lists], pa.string())
        columns["items"] = pa.array(
            [[items.index(item) for item in each] for each in lists.values()], pa.list_(pa.int32())
        )
        file = self.shop.include / "lists.parquet"
        table = pa.table(columns, schema=LISTS).replace_schema_metadata(positions_in(catalog))
        pq.write_table(table, file)
        bucket = self.context.bucket
        manifest = RecommendationsManifest(
            run, at.isoformat(), "", "", len(lists), len(lists), {}, len(items)
        )
        RecommendationsStore(bucket, keys).publish(manifest, file, catalog)
        figures = PlanFigures(len(outcomes), {}, len(outcomes), 0, 0, {}, {}, 0, 0)
        plan = PlanManifest(
            f"{at:%Y%m%dT%H%M%S}-{run}", run, at.isoformat(), "push", False, figures, Estimate(0, 0, 0.0, 0)
        )
        bucket.put_json(f"{keys.delivery(plan.delivery)}plan.json", asdict(plan))
        accounts = pa.table({"external_id": [f"b-{u}" for u in outcomes], "outcome": list(outcomes.values())})
        pq.write_table(accounts, file)
        Deliveries(bucket, keys).put_accounts(plan.delivery, file)

    def load(self, rows: Iterable[Row]) -> None:
        """Add outcomes to the warehouse."""
        with self.session.cursor().copy("COPY outcomes FROM STDIN") as copy:
            for user, second, *rest in rows:
                copy.write_row((user, SINCE + second, *rest))

    def write_sql(self, text: str) -> None:
        (self.shop.include / "sql/shop/outcomes.sql").write_text(text)

    def file(self, name: str) -> Path:
        return self.shop.include / name
