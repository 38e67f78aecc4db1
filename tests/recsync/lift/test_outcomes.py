from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from experiment_shop import DAY, SINCE, START, ExperimentShop

from recsync.errors import FatalError
from recsync.lift.outcomes import (
    BAD_TIMESTAMP,
    BAD_VALUE,
    OUTSIDE,
    ROWS,
    WITHOUT_USER,
    deliveries_since,
    load_exposure,
    write_outcomes,
)
from recsync.program.intervals import Interval

MONTH = Interval(datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC))
FIRST, LAST = int(MONTH.start.timestamp()), int(MONTH.end.timestamp()) - 1


def batch(**columns: list[str | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({name: pa.array(each, pa.string()) for name, each in columns.items()})


def test_rows_are_parsed_and_bad_ones_counted_by_their_first_reason(tmp_path: Path) -> None:
    times = [
        str(FIRST),
        f" {LAST}",
        str(FIRST - 1),
        str(LAST + 1),
        "today",
        None,
        str(FIRST),
        str(FIRST),
        str(FIRST),
    ]
    rows = batch(
        user_id=["u1", "u2", "u3", "u4", "u5", "u6", "", "u8", "u9"],
        timestamp=times,
        value=["+1.5", "-2", "1", "1", "1", "1", "dear", "dear", "1e999"],
        event=[None, "open", None, None, None, None, None, None, None],
    )
    target = tmp_path / "outcomes.parquet"
    counts = write_outcomes([rows, rows.slice(0, 1)], target, MONTH, name="shop/outcomes.sql")
    assert counts == {ROWS: 10, WITHOUT_USER: 1, BAD_TIMESTAMP: 2, BAD_VALUE: 2, OUTSIDE: 2}
    kept = pq.read_table(target).to_pylist()
    assert [(r["user_id"], r["happened"], r["value"], r["event"]) for r in kept] == [
        ("u1", FIRST, 1.5, "conversion"),
        ("u2", LAST, -2.0, "open"),
        ("u1", FIRST, 1.5, "conversion"),
    ]
    assert kept[0]["item_id"] is kept[0]["outcome_id"] is None


@pytest.mark.parametrize(("factor", "unit"), [(1_000, "milliseconds"), (1_000_000, "microseconds")])
def test_times_in_another_unit_are_an_error(tmp_path: Path, factor: int, unit: str) -> None:
    rows = batch(user_id=["u1"], timestamp=[str(FIRST * factor)])
    with pytest.raises(FatalError, match=f"times in {unit}"):
        write_outcomes([rows], tmp_path / "outcomes.parquet", MONTH, name="shop/outcomes.sql")


def test_only_closed_deliveries_since_the_start_count(experiment_shop: ExperimentShop) -> None:
    shop = experiment_shop
    for day in (-1, 0, 1, 2):
        shop.deliver(day, {"u1": ["p1"]}, {"u1": "sent"})
    bucket, keys = shop.context.bucket, shop.context.keys
    found = deliveries_since(shop.context, ("former", "shop"), START)
    assert [each.at for each in found] == [SINCE + day * DAY + 3600 for day in (0, 1, 2)]
    # One that is under way has no accounts; one that only planned was not sent.
    bucket.delete(f"{keys.delivery(found[0].name)}accounts.parquet")
    plan = bucket.get_json(f"{keys.delivery(found[1].name)}plan.json")
    bucket.put_json(f"{keys.delivery(found[1].name)}plan.json", {**plan, "dry_run": True})
    assert deliveries_since(shop.context, ("shop",), START) == found[2:]
    # A removal of old lists finds most people unchanged, and has no lists.
    removal = {**plan, "recommendations": "freshness-20260903T060000-1"}
    bucket.put_json(f"{keys.delivery(found[1].name)}plan.json", removal)
    assert deliveries_since(shop.context, ("shop",), START) == found[2:]


def test_the_first_list_of_a_person_is_noted_and_items_need_a_list_in_the_window(
    experiment_shop: ExperimentShop,
) -> None:
    shop = experiment_shop
    shop.deliver(0, {"u1": ["p1"], "u2": ["p1"]}, {"u1": "sent", "u2": "removed"})
    shop.deliver(3, {"u1": ["p2"], "u2": ["p2"]}, {"u1": "unchanged", "u2": "sent"})
    deliveries = deliveries_since(shop.context, ("shop",), START)
    with duckdb.connect() as database:
        database.execute("CREATE TABLE everybody (person INTEGER, external_id VARCHAR, since BIGINT)")
        # u2 was given the arm after the second delivery.
        database.execute(f"INSERT INTO everybody VALUES (1, 'b-u1', {SINCE}), (2, 'b-u2', {SINCE + 4 * DAY})")
        database.execute(
            "CREATE TABLE bought (n BIGINT, external_id VARCHAR, item_id VARCHAR, happened BIGINT, since BIGINT)"
        )
        bought = [
            (1, "b-u1", "p1", 1.0),
            (2, "b-u1", "p1", 2.5),
            (3, "b-u1", "p2", 4.0),
            (4, "b-u1", "p9", 4.0),
        ]
        bought += [(5, "b-u2", "p2", 4.5)]
        for n, person, item, day in bought:
            since = SINCE + (4 * DAY if person == "b-u2" else 0)
            row = [n, person, item, SINCE + int(day * DAY), since]
            database.execute("INSERT INTO bought VALUES (?, ?, ?, ?, ?)", row)
        folder = shop.file("work")
        folder.mkdir()
        notes = load_exposure(shop.context, database, deliveries, folder, window_days=2, items=True)
        assert notes == []
        assert database.sql("SELECT * FROM delivered").fetchall() == [(1, SINCE + 3600)]
        assert sorted(database.sql("SELECT n FROM recommended").fetchall()) == [(1,), (3,)]
        assert list(folder.iterdir()) == []
