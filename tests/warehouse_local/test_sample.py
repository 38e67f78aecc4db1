from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_sample import FIRST, NOW

from warehouse_local import clock
from warehouse_local.dsn import connect
from warehouse_local.errors import DsnError, WarehouseError
from warehouse_local.product_listing import brand_name
from warehouse_local.sample import AHEAD, bring_forward, load_sample, loaded, package_folder, weeks_to_shift

Db = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def journey(dsn: str, parquet_folder: Path) -> Iterator[Db]:
    """Load the small sample and fix the clock at NOW; forget both afterwards."""
    with connect(dsn) as connection:
        connection.autocommit = True
        load_sample(dsn, now=NOW, folder=parquet_folder, say=lambda _: None)
        clock.set_to(connection, NOW)
        yield connection
        connection.execute("DROP SCHEMA IF EXISTS journey, journey_raw CASCADE")


def one(db: Db, query: str) -> Any:
    row = db.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_only_what_has_happened_is_shown(journey: Db) -> None:
    assert one(journey, "SELECT count(*) FROM journey_raw.transactions") == 6
    assert one(journey, "SELECT count(*) FROM journey.transactions") == 3
    assert one(journey, "SELECT max(transaction_timestamp) <= journey.now() FROM journey.transactions")
    assert one(journey, "SELECT count(*) FROM journey.campaigns") == 2
    assert one(journey, "SELECT count(*) FROM journey.coupon_redemptions") == 1


def test_the_shift_keeps_weekday_and_hour_and_leaves_two_weeks_ahead(journey: Db) -> None:
    state = loaded(journey)
    assert state is not None
    assert state.first_at.weekday() == FIRST.weekday()
    assert state.first_at.timetz() == FIRST.replace(tzinfo=UTC).timetz()
    assert timedelta(weeks=2) <= state.last_at - NOW < timedelta(weeks=3)
    assert one(journey, "SELECT max(transaction_timestamp) FROM journey_raw.transactions") == state.last_at


def test_a_trade_lets_the_next_purchases_happen_now(journey: Db) -> None:
    products = one(journey, "SELECT count(*) FROM journey.products")
    assert bring_forward(journey, 2) == 2
    assert one(journey, "SELECT count(*) FROM journey.transactions") == 5
    assert one(journey, "SELECT max(transaction_timestamp) = journey.now() FROM journey.transactions")
    assert one(journey, "SELECT count(*) FROM journey.products WHERE first_sold_at = journey.now()") == 2
    assert one(journey, "SELECT count(*) FROM journey.products") == products + 2
    assert bring_forward(journey, 5) == 1, "what is left"
    with pytest.raises(WarehouseError, match="no purchase of the sample lies ahead"):
        bring_forward(journey, 1)


def test_time_brings_the_next_purchases(journey: Db) -> None:
    clock.advance(journey, 24 * 21)
    assert one(journey, "SELECT count(*) FROM journey.transactions") == 6
    assert one(journey, "SELECT count(*) FROM journey.products") == 3
    clock.set_to(journey, datetime(2020, 1, 1))
    assert one(journey, "SELECT count(*) FROM journey.transactions") == 0
    assert one(journey, "SELECT journey.now()") == datetime(2020, 1, 1, tzinfo=UTC)


def test_products_have_names_prices_and_a_first_sale(journey: Db) -> None:
    clock.set_to(journey, NOW + timedelta(days=365))
    products = journey.execute(
        "SELECT product_id, product_name, brand_name, price, former_price, product_category, sold_online "
        "FROM journey.products ORDER BY product_id"
    ).fetchall()
    assert products == [
        ("10", "Apple Sauce, 50 oz", "Corner Market", Decimal("2.50"), Decimal("3.50"), "FRUIT", True),
        ("11", "Fruit", brand_name("1"), Decimal("2.00"), None, "FRUIT", True),
        ("12", "Product 12", None, None, None, None, False),
    ]
    assert one(journey, "SELECT pg_typeof(price)::text FROM journey.products LIMIT 1") == "numeric"


def test_links_lead_to_the_shop_wherever_it_is(journey: Db, dsn: str, parquet_folder: Path) -> None:
    clock.set_to(journey, NOW + timedelta(days=365))
    links = "SELECT url, image FROM journey.products WHERE product_id = '10'"
    assert journey.execute(links).fetchone() == (
        "http://127.0.0.1:9300/products/10",
        "http://127.0.0.1:9300/images/pantry/basket-0.png",
    )
    options = {"now": NOW, "folder": parquet_folder, "say": lambda _: None}
    load_sample(dsn, shop_url="http://127.0.0.1:5000", **options)
    load_sample(dsn, **options)
    assert journey.execute(links).fetchone() == (
        "http://127.0.0.1:5000/products/10",
        "http://127.0.0.1:5000/images/pantry/basket-0.png",
    )


def test_a_load_of_an_older_format_is_replaced_with_its_shift(
    journey: Db, dsn: str, parquet_folder: Path
) -> None:
    journey.execute("ALTER TABLE journey_raw.load DROP COLUMN format")
    state = loaded(journey)
    assert state is not None
    assert state.format == 1
    later = NOW + timedelta(weeks=1)
    renewed = load_sample(dsn, now=later, folder=parquet_folder, keep=True, say=lambda _: None)
    assert (renewed.shift_weeks, renewed.format) == (state.shift_weeks, 2)
    assert loaded(journey) == renewed


def test_all_households_are_listed_and_some_may_be_mailed(journey: Db) -> None:
    households = journey.execute("SELECT household_id, age FROM journey.households ORDER BY 1").fetchall()
    assert households == [("1", "65+"), ("2", None), ("3", None)]
    assert journey.execute("SELECT household_id FROM journey.mailing_list ORDER BY 1").fetchall() == [
        ("1",),
        ("2",),
    ]


def test_loading_again_is_idempotent(journey: Db, dsn: str, parquet_folder: Path) -> None:
    identity = "SELECT 'journey_raw.transactions'::regclass::oid"
    before = one(journey, identity)
    load_sample(dsn, now=NOW, folder=parquet_folder, say=lambda _: None)
    assert one(journey, identity) == before


def test_another_shift_reloads_and_keeps_the_clock_and_the_views_users(
    journey: Db, dsn: str, parquet_folder: Path
) -> None:
    journey.execute("CREATE VIEW public.mine AS SELECT count(*) AS n FROM journey.transactions")
    later = NOW + timedelta(weeks=5)
    state = load_sample(dsn, now=later, folder=parquet_folder, say=lambda _: None)
    assert loaded(journey) == state
    assert clock.show(journey) == (NOW, True)
    assert one(journey, "SELECT count(*) FROM journey.transactions") == 0
    clock.set_to(journey, later)
    assert one(journey, "SELECT n FROM public.mine") == 3


def test_keep_leaves_history_alone_until_nothing_lies_ahead(
    journey: Db, dsn: str, parquet_folder: Path
) -> None:
    state = loaded(journey)
    later = NOW + timedelta(weeks=1)
    assert load_sample(dsn, now=later, folder=parquet_folder, keep=True, say=lambda _: None) == state
    later = NOW + timedelta(weeks=4)
    assert load_sample(dsn, now=later, folder=parquet_folder, keep=True, say=lambda _: None) != state


def test_a_failed_load_leaves_the_former_one(
    journey: Db, dsn: str, parquet_folder: Path, tmp_path: Path
) -> None:
    for path in parquet_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "products.parquet").write_bytes(b"broken")
    state = loaded(journey)
    with pytest.raises(pa.ArrowInvalid):
        load_sample(dsn, now=NOW + timedelta(weeks=9), folder=tmp_path, say=lambda _: None)
    assert loaded(journey) == state
    assert one(journey, "SELECT count(*) FROM journey.transactions") == 3


def test_an_hours_purchases_are_found_by_an_index(journey: Db) -> None:
    journey.execute("SET enable_seqscan = off")
    plan = "\n".join(
        str(line)
        for (line,) in journey.execute(
            "EXPLAIN SELECT * FROM journey.transactions WHERE transaction_timestamp > '2030-05-01'"
        )
    )
    assert "transactions_transaction_timestamp_idx" in plan


def _clock_command(dsn: str, *arguments: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "local"), "WAREHOUSE_DSN": dsn}
    return subprocess.check_output(
        [sys.executable, "-m", "warehouse_local", "clock", *arguments], env=environ, text=True
    )


def test_the_clock_command(journey: Db, dsn: str) -> None:
    assert _clock_command(dsn, "--set", "2024-01-01T10:00") == "2024-01-01T10:00:00+00:00 (fixed)\n"
    assert _clock_command(dsn, "--advance-hours", "1.5") == "2024-01-01T11:30:00+00:00 (fixed)\n"
    assert "fixed" in _clock_command(dsn)
    assert "runs with the real time" in _clock_command(dsn, "--release")


def test_a_missing_server_is_told(free_tcp_port: int) -> None:
    with pytest.raises(DsnError, match="does not answer"):
        load_sample(f"postgresql://postgres:x@127.0.0.1:{free_tcp_port}/warehouse")


def test_the_real_package_loads(dsn: str) -> None:
    with connect(dsn) as connection:
        connection.autocommit = True
        state = load_sample(dsn, now=NOW, say=lambda _: None, folder=package_folder())
        clock.set_to(connection, state.last_at)
        assert one(connection, "SELECT count(*) FROM journey.transactions") == 1_469_307
        assert one(connection, "SELECT count(*) FROM journey.products") == 68_509
        assert one(connection, "SELECT count(*) FROM journey.households") == 2_469
        assert one(connection, "SELECT count(*) FROM journey.mailing_list") == 1_559
        assert one(connection, "SELECT min(price) FROM journey.products") == Decimal("0.01")
        online = "FROM journey.products WHERE sold_online"
        assert one(connection, f"SELECT count(*) {online}") > 60_000
        assert one(connection, f"SELECT min(price) {online}") == Decimal("0.25")
        reduced = one(connection, f"SELECT avg((former_price IS NOT NULL)::int) {online}")
        assert Decimal("0.1") < reduced < Decimal("0.3")
        incomplete = (
            "product_name IS NULL OR brand_name IS NULL OR aisle IS NULL OR url IS NULL OR image IS NULL"
        )
        assert one(connection, f"SELECT count(*) {online} AND ({incomplete} OR former_price <= price)") == 0
        connection.execute("DROP SCHEMA journey, journey_raw CASCADE")


LAST_PURCHASE = datetime(2018, 1, 1, 4, 1, 20, tzinfo=UTC)
WEEK = timedelta(weeks=1)


@pytest.mark.parametrize(
    ("now", "weeks"),
    [
        (LAST_PURCHASE - AHEAD, 0),
        (LAST_PURCHASE - AHEAD + timedelta(seconds=1), 1),
        (LAST_PURCHASE, 2),
        (LAST_PURCHASE + WEEK, 3),
        (LAST_PURCHASE - 52 * WEEK, -50),
    ],
)
def test_the_least_shift_that_leaves_two_weeks_ahead(now: datetime, weeks: int) -> None:
    assert weeks_to_shift(LAST_PURCHASE, now) == weeks


@given(st.datetimes(min_value=datetime(2015, 1, 1), max_value=datetime(2060, 1, 1)))
def test_between_two_and_three_weeks_always_lie_ahead(naive: datetime) -> None:
    now = naive.replace(tzinfo=UTC)
    ahead = LAST_PURCHASE + weeks_to_shift(LAST_PURCHASE, now) * WEEK - now
    assert AHEAD <= ahead < AHEAD + WEEK
