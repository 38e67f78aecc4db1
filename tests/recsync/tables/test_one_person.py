"""One query tells everything about one person, and nothing once the person is erased.

With ``RECSYNC_LONG_TESTS=1`` a month of deliveries to the Braze sandbox, else a few days of what they leave on S3.
"""

from __future__ import annotations

import json
import os
import runpy
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import time_machine
from table_kit import TableKit

from recsync.forget.batch import suppress_batch, take_open_requests
from recsync.forget.erase_objects import erase_objects, replace_exports
from recsync.forget.request import request_erasure
from recsync.push.accounts import Outcome
from recsync.tables.build import write_rows
from recsync.tables.ddl import person_query
from recsync.tables.schema import OUTCOMES, TABLES, arrow_schema
from recsync.tables.store import TableStore

LONG = bool(os.environ.get("RECSYNC_LONG_TESTS"))
DAYS = 30 if LONG else 5
PEOPLE = 300
ARN = "arn:aws:personalize:eu-west-1:1:solution/shop"


class Month:
    """Days of deliveries, with what one person should be told.

    :param rows: what the query should return about the person, without times and names of deliveries.
    :param reports: of the deliveries, in order.
    """

    def __init__(self, kit: TableKit) -> None:
        self.kit = kit
        self.people = list(kit.kit.lists(PEOPLE))
        self.person = self.people[5]
        self.rows: list[tuple[Any, ...]] = []
        self.reports: list[Any] = []
        self._write_outcomes()
        for day in range(DAYS):
            self._deliver(day)

    def bought(self, day: int) -> list[float]:
        """Values of the person's conversions of a day: two every fourth day."""
        return [10.0, 2.5] if day % 4 == 3 else []

    def _write_outcomes(self) -> None:
        store, path = self.kit.kit.context.store(TableStore), self.kit.folder.parent / "outcomes.parquet"
        for day in range(DAYS):
            moment = self.kit.moment(day, hours=2)
            rows = [
                {"program": self.kit.kit.name, "user_id": self.kit.user(one), "happened_at": moment,
                 "event": event, "outcome_value": value}
                for one, event, value in [
                    *((self.person, "conversion", value) for value in self.bought(day)),
                    (self.person, "unsubscribe", None),
                    (self.people[6], "conversion", 99.0),
                ]
            ]  # fmt: skip
            write_rows(OUTCOMES, rows, path)
            store.put(OUTCOMES, moment.date(), f"{moment:%Y-%m-%d}", path)

    def _deliver(self, day: int) -> None:
        """The person's list changes every other day, is missing on the fourth and comes from a new version later."""
        lists = {**self.kit.kit.lists(PEOPLE, shift=day // 2)}
        if day == 3:
            lists[self.person] = []
        version = f"{ARN}/v-{1 + day // 4}"
        arms = {one: ("sims", "holdout", "champion")[min(n % 5, 2)] for n, one in enumerate(self.people)}
        lists |= {one: [] for one, arm in arms.items() if arm == "holdout"}
        versions = {"champion": f"{ARN}/v-0", "sims": version}
        report = self.kit.deliver(day, lists, arms=arms, held_out="holdout", versions=versions)
        self.reports.append(report)
        outcome = "removed" if day == 3 else "unchanged" if day % 2 and day - 1 != 3 else "sent"
        window = [value for later in range(day, min(day + 7, DAYS)) for value in self.bought(later)]
        found = (len(window), sum(window) if window else None)
        items = lists[self.person] or [None]
        for position, item in enumerate(items, start=1):
            told = (position, item, "personal", "personal", version) if item else (None,) * 5
            self.rows.append((outcome, "sims", *told, *found))


@pytest.fixture
def month(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Month:
    table_kit: TableKit = request.getfixturevalue("table_kit" if LONG else "made_kit")
    warehouse = tmp_path / "shop.duckdb"
    with duckdb.connect(str(warehouse)) as database:
        database.execute("CREATE TABLE people (user_id text, external_id text)")
        people = [[table_kit.user(one), one] for one in table_kit.kit.lists(PEOPLE)]
        database.executemany("INSERT INTO people VALUES (?, ?)", people)
    connection = {"conn_type": "duckdb", "host": str(warehouse)}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    query = table_kit.kit.include / "sql" / table_kit.kit.name / "audience.sql"
    query.write_text("SELECT user_id, external_id FROM people")
    return Month(table_kit)


def test_one_query_answers_and_an_erasure_leaves_nothing(
    month: Month, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = month.kit
    kit.write(DAYS - 1)
    with kit.database() as database:
        first, last = kit.moment(0).date(), kit.moment(DAYS - 1).date()
        query = person_query("duckdb", "t", kit.user(month.person), first, last)
        columns = [column[0] for column in database.execute(query).description]
        rows = database.execute(query).fetchall()
        _assert_sums_are_those_of_the_reports(database, month)
    keep = [n for n, name in enumerate(columns) if name not in {"planned_at", "delivery", "reason"}]
    assert [tuple(row[n] for n in keep) for row in rows] == month.rows
    days = {row[columns.index("planned_at")].date() for row in rows}
    assert days == {first + timedelta(days=n) for n in range(DAYS)}

    _erase_while_a_run_writes(month, monkeypatch)
    assert _mentions(month) == 0
    with kit.database() as database:
        assert database.execute(query).fetchall() == []
        counted = database.execute("SELECT count(*), count(DISTINCT external_id) FROM t.accounts").fetchone()
    assert counted == (DAYS * (PEOPLE - 1), PEOPLE - 1)
    # What the next run writes, from sources that may still have the person, has no row of the person either.
    kit.kit.context.bucket.delete(kit.keys("deliveries")[0])
    kit.write(DAYS - 1, hours=8)
    assert _mentions(month) == 0


def _assert_sums_are_those_of_the_reports(database: duckdb.DuckDBPyConnection, month: Month) -> None:
    counted = database.sql(
        "SELECT delivery, outcome, count(*), sum(data_points) FROM t.accounts GROUP BY ALL"
    ).fetchall()
    for report in month.reports:
        of_delivery = {
            outcome: (n, points) for name, outcome, n, points in counted if name == report.delivery
        }
        assert {each.value: of_delivery.get(each, (0, 0))[0] for each in Outcome} == report.outcomes
        assert sum(points for _, points in of_delivery.values()) == report.data_points
        (row,) = (
            database.sql(f"SELECT * FROM t.deliveries WHERE delivery = '{report.delivery}'")
            .fetchdf()
            .to_dict("records")
        )
        assert {each.value: row[each.value] for each in Outcome} == report.outcomes
        assert row["held_out"] == PEOPLE // 5
        assert (row["audience"], row["data_points"]) == (PEOPLE, report.data_points)


def _erase_while_a_run_writes(month: Month, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run that began before the suppression write its object after the first look of the erasure."""
    kit = month.kit
    writers = runpy.run_path(str(Path(__file__).resolve().parents[3] / "dags" / "forget.py"))["WRITERS"]
    assert "tables" in writers  # an erasure waits for such a run, before it looks for the first time
    kit.kit.context.bucket.delete(kit.keys("deliveries")[-1])
    put, erased = TableStore.put, []

    def put_late(store: TableStore, *args: Any) -> None:
        if not erased:
            with time_machine.travel(kit.moment(DAYS - 1, hours=5), tick=True):
                request_erasure(kit.kit.name, kit.user(month.person))
                name = take_open_requests(kit.kit.name, "run")
                suppress_batch(kit.kit.name, name)
                erased.append((name, erase_objects(kit.kit.name, name)))
        put(store, *args)

    with monkeypatch.context() as patched:
        patched.setattr(TableStore, "put", put_late)
        kit.write(DAYS - 1, hours=5)
    ((name, result),) = erased
    listed, happened = (
        sum(1 for row in month.rows if row[3]),
        sum(len(month.bought(day)) for day in range(DAYS)),
    )
    assert result["rows"]["tables"] == listed + happened + 2 * DAYS  # accounts, and an unsubscription a day
    assert _mentions(month) == 1  # what that run wrote last
    with time_machine.travel(kit.moment(DAYS - 1, hours=6), tick=True):
        replace_exports(kit.kit.name, name, again=True)


def _mentions(month: Month) -> int:
    """Count the objects of tables that name the person by either id."""
    context = month.kit.kit.context
    count = 0
    for key in context.bucket.keys(f"{context.keys.program}/tables/"):
        with context.bucket.open(key) as stream, pq.ParquetFile(stream) as file:  # type: ignore[union-attr]
            count += month.person in str(file.read().to_pylist())
            # Also after an erasure, every engine reads it.
            assert file.schema_arrow.equals(arrow_schema(TABLES[key.split("/")[2]]))
            assert file.metadata.row_group(0).column(0).compression == "SNAPPY"
    return count
