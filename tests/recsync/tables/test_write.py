"""Tables of deliveries that were really made: they add up, are written once, and hold nobody who was erased."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import time_machine
from table_kit import MadeKit

from recsync.costs.ledger import CostLedger, UsageEntry
from recsync.costs.prices import UsageKind
from recsync.evaluation.store import Champion, ChampionStore, PromotionOutcome
from recsync.experiments.store import ENROLLED, EnrolmentStore, Layer, LayerExperiment, LayerStore
from recsync.push.accounts import Outcome
from recsync.suppression.store import SuppressionStore
from recsync.tables.schema import DELIVERIES, TABLES, arrow_schema
from recsync.tables.store import TableStore
from recsync.tables.write import STEPS

ARN = "arn:aws:personalize:eu-west-1:1:solution/shop"


@pytest.fixture
def two_days(made_kit: MadeKit) -> MadeKit:
    """Deliver the lists of 20 people; on the second day, 5 others, 1 without a list, and 2 who left."""
    first = made_kit.kit.lists(20)
    second = {**first, **made_kit.kit.lists(5, shift=7)}
    for gone in list(first)[-2:]:
        second.pop(gone)
    second[list(second)[10]] = []
    made_kit.deliver(0, first, scores={name: [0.5, None, 0.25, 0.1, None] for name in first})
    made_kit.deliver(1, second)
    return made_kit


def test_a_run_writes_what_is_missing_and_the_next_one_nothing(two_days: MadeKit) -> None:
    kit = two_days.kit
    assert kit.context.program.tables is not None
    written = two_days.write(1)
    assert written["lists"] == {"objects": 2, "rows": 20 * 5 + 17 * 5, "left": 0}
    assert written["deliveries"] == {"objects": 2, "rows": 20 + 18}
    again = two_days.write(1, hours=4)
    assert again["lists"]["objects"] == again["deliveries"]["objects"] == 0
    for check in (
        _the_sums_are_those_of_the_reports,
        _lists_say_item_position_score_and_what_put_it_there,
        _objects_have_the_documented_types_only,
        _times_are_utc,
    ):
        check(two_days)


def _the_sums_are_those_of_the_reports(two_days: MadeKit) -> None:
    counted = two_days.rows(
        "SELECT d.delivery, a.outcome, count(*), sum(a.data_points) FROM t.deliveries d "
        "JOIN t.accounts a USING (delivery) GROUP BY ALL ORDER BY ALL"
    )
    outcomes = ", ".join(f"'{each}', {each}" for each in Outcome)
    listed = two_days.rows(f"SELECT delivery, map([{_every_second(outcomes, 0)}], [{_every_second(outcomes, 1)}]) "
                           "FROM t.deliveries ORDER BY 1")  # fmt: skip
    by_delivery: dict[str, dict[str, int]] = {}
    for delivery, outcome, people, _ in counted:
        by_delivery.setdefault(delivery, {})[outcome] = people
    assert {name: {k: v for k, v in found.items() if v} for name, found in listed} == by_delivery
    assert list(by_delivery.values()) == [
        {"sent": 20},
        {"sent": 5, "unchanged": 12, "removed": 1},
    ]
    ((audience, points, left),) = two_days.rows(
        "SELECT sum(audience), sum(data_points), sum(left_audience) FROM t.deliveries"
    )
    # Those who left are in no account: their removal is a data point of the delivery.
    assert (audience, points, left) == (38, 20 + 5 + 1 + 2, 2)
    assert sum(row[3] for row in counted) == points - left


def _every_second(text: str, start: int) -> str:
    return ", ".join(text.split(", ")[start::2])


def _lists_say_item_position_score_and_what_put_it_there(two_days: MadeKit) -> None:
    person = next(iter(two_days.kit.lists(1)))
    rows = two_days.rows(
        "SELECT position, item_id, score, tier, rule, solution_version, arm, user_id, date FROM t.lists "
        f"WHERE external_id = '{person}' AND run = '000' ORDER BY position"
    )
    assert [row[:2] for row in rows] == list(enumerate(two_days.kit.lists(1)[person], start=1))
    assert [row[2] for row in rows] == pytest.approx([0.5, None, 0.25, 0.1, None])
    assert [row[4] for row in rows] == ["personal"] * 5
    assert {row[3] for row in rows} == {"personal"}
    assert {row[5:] for row in rows} == {(f"{ARN}/v-1", None, two_days.user(person), date(2026, 1, 1))}


def _objects_have_the_documented_types_only(two_days: MadeKit) -> None:
    two_days.database().close()
    paths = sorted(two_days.folder.rglob("*.parquet"))
    assert {path.parts[-3] for path in paths} == {"accounts", "lists", "deliveries"}
    for path in paths:
        with pq.ParquetFile(path) as file:
            assert file.schema_arrow.equals(arrow_schema(TABLES[path.parts[-3]])), path
            assert file.metadata.row_group(0).column(0).compression == "SNAPPY"


def test_a_delivery_is_read_whole_or_not_at_all(two_days: MadeKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that dies before the last object of a delivery leaves no row of it in ``deliveries``."""
    put = TableStore.put

    def dying(store: TableStore, table: object, *args: object) -> None:
        if table is DELIVERIES:
            raise KeyboardInterrupt
        put(store, table, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(TableStore, "put", dying)
        with pytest.raises(KeyboardInterrupt):
            two_days.write(1, steps=("lists", "deliveries"))
    assert len(two_days.keys("accounts")) == 1
    assert two_days.keys("deliveries") == []
    two_days.write(1, steps=("lists", "deliveries"))
    assert two_days.rows("SELECT count(*), count(DISTINCT (delivery, external_id)) FROM t.accounts") == [
        (38, 38)
    ]


def test_lists_that_were_published_anew_replace_the_former_ones(two_days: MadeKit) -> None:
    two_days.write(1, steps=["lists"])
    shorter = {name: items[:2] for name, items in two_days.kit.lists(20).items()}
    with time_machine.travel(two_days.moment(1, hours=5), tick=True):
        two_days.kit.publish("000", shorter)
    assert two_days.write(1, hours=6, steps=["lists"])["lists"] == {"objects": 1, "rows": 40, "left": 0}
    assert len(two_days.keys("lists")) == 2


def test_suppressed_people_are_left_out_of_what_is_written_later(two_days: MadeKit) -> None:
    by_user, by_external = list(two_days.kit.lists(2))
    suppression = two_days.kit.context.store(SuppressionStore)
    suppression.add([two_days.user(by_user)])
    suppression.add([], [by_external])
    two_days.write(1, steps=("lists", "deliveries"))
    for table in ("accounts", "lists"):
        found = two_days.rows(
            f"SELECT count(*) FROM t.{table} WHERE external_id IN ('{by_user}', '{by_external}')"
        )
        assert found == [(0,)]
    assert two_days.rows("SELECT count(*) FROM t.accounts") == [(38 - 4,)]


def test_old_partitions_are_not_written_again(two_days: MadeKit) -> None:
    days = two_days.kit.context.program.retention.table_days
    written = two_days.write(days, steps=("lists", "deliveries"))
    assert [key.split("/")[3] for key in two_days.keys("deliveries")] == ["date=2026-01-02"]
    assert written["lists"]["objects"] == 1


def test_versions_have_a_row_per_metric_beside_the_baseline(made_kit: MadeKit) -> None:
    store = made_kit.kit.context.store(ChampionStore)
    store.promote(
        Champion(
            f"{ARN}/1", "FULL", "2026-01-01T03:00:00+00:00", "r1", {"ndcg": 0.5, "mrr": 0.25}, {"ndcg": 0.25}
        )
    )
    store.record(
        Champion(
            f"{ARN}/2", "UPDATE", "2026-01-02", "r2", {}, outcome=PromotionOutcome.REFUSED, reason="worse"
        )
    )
    assert made_kit.write(2, steps=["versions"])["versions"] == {"objects": 2, "rows": 3}
    rows = made_kit.rows(
        "SELECT solution_version, is_champion, outcome, reason, metric, metric_value, baseline_value "
        "FROM t.versions ORDER BY evaluated_at, metric"
    )
    assert rows == [
        (f"{ARN}/1", True, "promoted", None, "mrr", 0.25, None),
        (f"{ARN}/1", True, "promoted", None, "ndcg", 0.5, 0.25),
        (f"{ARN}/2", False, "refused", "worse", None, None, None),
    ]
    store.record(Champion(f"{ARN}/3", "UPDATE", "2026-01-02T23:00:00", "r3", {"ndcg": 0.1}))
    assert made_kit.write(3, steps=["versions"])["versions"] == {"objects": 1, "rows": 2}


def test_costs_are_a_part_of_the_month_and_grow_until_it_is_over(made_kit: MadeKit) -> None:
    (made_kit.kit.include / "prices.yaml").write_text(
        "lists: [{since: 2025-01, prices: {training_hours: {price: 2}}}]\n"
    )
    ledger = made_kit.kit.context.store(CostLedger)

    def use(key: str, month: str, hours: float) -> None:
        entry = UsageEntry(UsageKind.TRAINING_HOURS, hours, f"{month}-05T00:00:00+00:00", recipe="r")
        ledger.change(month, lambda found: found.with_usage(key, entry))

    use("a", "2025-12", 1)
    use("b", "2025-12", 3)
    use("c", "2025-10", 1)
    made_kit.write(0, steps=["costs"])
    use("d", "2025-12", 2)
    use("e", "2025-10", 1)  # too late: that month is written
    assert made_kit.write(0, hours=4, steps=["costs"])["costs"] == {"objects": 1, "rows": 3}
    rows = made_kit.rows("SELECT date, entry, quantity, cost, currency FROM t.costs ORDER BY 1, 2")
    assert rows == [
        (date(2025, 10, 1), "c", 1.0, 2.0, "USD"),
        (date(2025, 12, 1), "a", 1.0, 2.0, "USD"),
        (date(2025, 12, 1), "b", 3.0, 6.0, "USD"),
        (date(2025, 12, 1), "d", 2.0, 4.0, "USD"),
    ]


def _times_are_utc(two_days: MadeKit) -> None:
    ((planned, generated),) = two_days.rows("SELECT min(planned_at), min(generated_at) FROM t.deliveries")
    assert abs(planned - two_days.moment(0)) < timedelta(minutes=1)
    assert generated == datetime(2026, 1, 1, 0, 3, tzinfo=UTC)


def test_enrolments_are_written_by_the_day_and_again_when_somebody_moves(
    made_kit: MadeKit, tmp_path: Path
) -> None:
    context = made_kit.kit.context
    name = made_kit.kit.name
    running = LayerExperiment(name, (name,), {"a": 1.0}, {"a": "champion"}, {})
    context.store(LayerStore).document("mail").update(lambda _: Layer({"autumn": running}))

    def seconds(day: int) -> int:
        return int(made_kit.moment(day).timestamp())

    def publish(rows: list[tuple[str, str, int, int | None]], day: int) -> None:
        columns = [
            {"user_id": user, "external_id": f"b-{user}", "arm": arm, "since": since, "until": until}
            for user, arm, since, until in rows
        ]
        pq.write_table(pa.Table.from_pylist(columns, ENROLLED), tmp_path / "enrolled.parquet")
        store = context.store(EnrolmentStore)
        now, etag = store.read("mail", "autumn")
        with time_machine.travel(made_kit.moment(day), tick=True):
            store.publish("mail", "autumn", now, tmp_path / "enrolled.parquet", etag)

    first = [("u1", "a", seconds(0), None), ("u2", "", seconds(0), None), ("u3", "b", seconds(1), None)]
    publish(first, 1)
    assert made_kit.write(1, steps=["experiments"])["experiments"] == {"objects": 2, "rows": 2}
    assert (
        made_kit.write(5, steps=["experiments"])["experiments"]["objects"] == 2
    )  # may have changed just then
    assert made_kit.write(9, steps=["experiments"])["experiments"]["objects"] == 0
    publish([("u1", "a", seconds(0), seconds(9)), ("u1", "b", seconds(9), None), *first[1:]], 9)
    assert made_kit.write(9, hours=4, steps=["experiments"])["experiments"] == {"objects": 2, "rows": 2}
    context.store(SuppressionStore).add(["u3"])
    publish([("u3", "b", seconds(1), seconds(10)), *first[:1]], 10)
    made_kit.write(10, steps=["experiments"])
    rows = made_kit.rows(
        "SELECT user_id, arm, date, until::DATE, layer, experiment FROM t.experiments ORDER BY ALL"
    )
    days = [date(2026, 1, 1), date(2026, 1, 10)]
    assert rows == [
        ("u1", "a", days[0], days[1], "mail", "autumn"),
        ("u1", "b", days[1], None, "mail", "autumn"),
    ]


def test_outcomes_are_read_by_whole_days_and_again_while_rows_may_arrive(
    made_kit: MadeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = tmp_path / "shop.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(warehouse)}))
    assert made_kit.write(9, steps=["outcomes"])["outcomes"] == {
        "objects": 0,
        "rows": 0,
    }  # no experiment, no query
    program = made_kit.kit.include / "programs" / "shop.yaml"
    arms = {"a": {"share": 0.5, "gets": "champion"}, "b": {"share": 0.5, "gets": "nothing"}}
    experiment = {"name": "autumn", "arms": arms, "pre_days": 5}
    program.write_text(json.dumps({**json.loads(program.read_text()), "experiment": experiment}))
    (made_kit.kit.include / "sql" / "shop" / "outcomes.sql").write_text(
        "SELECT user_id, timestamp, value, item_id, id AS outcome_id FROM orders "
        "WHERE timestamp >= {{ data_interval_start_epoch }} AND timestamp < {{ data_interval_end_epoch }}"
    )

    def buy(*orders: tuple[str, int, float | None]) -> None:
        with duckdb.connect(str(warehouse)) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS orders "
                "(user_id text, timestamp bigint, value double, item_id text, id text)"
            )
            rows = [[who, int(made_kit.moment(day).timestamp()), value] for who, day, value in orders]
            database.executemany("INSERT INTO orders VALUES (?, ?, ?, 'p-1', 'o-1')", rows)

    buy(("u1", 3, 9.5), ("u1", 4, None), ("u2", 8, 1.0), ("gone", 8, 1.0), ("u1", 9, 2.0))
    made_kit.kit.context.store(SuppressionStore).add(["gone"])
    # Day 9 is not over; of the days before it, 3 and earlier are older than pre_days.
    assert made_kit.write(9, steps=["outcomes"])["outcomes"] == {"objects": 5, "rows": 2}
    buy(("u1", 7, 3.0), ("u1", 4, 99.0))  # late, and too late
    assert made_kit.write(10, steps=["outcomes"])["outcomes"] == {"objects": 3, "rows": 3}
    rows = made_kit.rows(
        "SELECT user_id, happened_at, event, outcome_value, item_id, outcome_id FROM t.outcomes ORDER BY happened_at"
    )
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("u1", made_kit.moment(4), None),
        ("u1", made_kit.moment(7), 3.0),
        ("u2", made_kit.moment(8), 1.0),
        ("u1", made_kit.moment(9), 2.0),
    ]
    assert {(row[2], *row[4:]) for row in rows} == {("conversion", "p-1", "o-1")}


def test_the_dag_has_a_task_for_each_step() -> None:
    text = (Path(__file__).resolve().parents[3] / "dags" / "tables.py").read_text()
    assert f"for table in ({', '.join(json.dumps(step) for step in STEPS)})" in text
