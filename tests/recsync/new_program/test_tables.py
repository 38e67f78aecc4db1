from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from recsync.errors import FatalError
from recsync.new_program.columns import Ref
from recsync.new_program.tables import chosen_tables, list_tables, read_links, read_table
from recsync.warehouse.column_types import Kind
from recsync.warehouse.hooks import Warehouse, warehouse


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    file = tmp_path / "shop.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT n AS order_id, 'c' || n % 7 AS customer, n % 5 AS product, 0.5 * n AS paid,"
            " CASE WHEN n % 4 = 0 THEN '' ELSE 'web' END AS channel, TIMESTAMP '2026-01-01' + INTERVAL (n) HOUR AS at,"
            " [n] AS parts FROM range(100) AS r(n)"
        )
        connection.execute("CREATE TABLE customers AS SELECT 'c' || n AS id FROM range(14) AS r(n)")
        connection.execute("CREATE TABLE nothing (id INTEGER)")
        connection.execute("CREATE SCHEMA other; CREATE TABLE other.more (id INTEGER)")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(file)}))
    return warehouse("warehouse")


def test_tables_of_every_schema_are_listed(source: Warehouse) -> None:
    assert sorted(list_tables(source)) == [
        ("main", "customers"), ("main", "nothing"), ("main", "orders"), ("other", "more"),
    ]  # fmt: skip


def test_a_table_is_counted_and_sampled(source: Warehouse) -> None:
    orders = read_table(source, "main", "orders")
    assert orders.rows == 100
    assert {name: column.distinct for name, column in orders.columns.items()} == {
        "order_id": 100, "customer": 7, "product": 5, "paid": 100, "channel": 1, "at": 100,
    }  # fmt: skip
    channel = orders.columns["channel"]
    assert (channel.filled, orders.empty_share("channel"), set(channel.sample)) == (75, 0.25, {"web"})
    assert (orders.columns["product"].low, orders.columns["product"].high) == ("0", "4")
    assert orders.columns["at"].kind is Kind.MOMENT
    assert str(orders.columns["at"].high).startswith("2026-01-05 03:00:00")
    assert read_table(source, "main", "nothing").rows == 0


def test_columns_lead_to_the_keys_that_hold_their_values(source: Warehouse) -> None:
    tables = {name: read_table(source, "main", name) for name in ("orders", "customers")}
    (link,) = read_links(source, tables)
    assert (link.column, link.key) == (Ref("orders", "customer"), Ref("customers", "id"))
    assert (link.share, link.coverage) == (1.0, 0.5)


THERE = [("journey", "products"), ("public", "orders"), ("public", "items")]


def test_the_schema_of_the_connection_is_looked_at_unless_another_is_named() -> None:
    assert chosen_tables(THERE, [], None) == [("public", "items"), ("public", "orders")]
    assert chosen_tables(THERE, ["orders"], None) == [("public", "orders")]
    assert chosen_tables(THERE, [], "journey") == [("journey", "products")]
    assert chosen_tables([("SHOP", "T")], [], None) == [("SHOP", "T")]


@pytest.mark.parametrize(
    ("there", "wanted", "schema", "message"),
    [
        (THERE, [], "jorney", r"did you mean journey\?"),
        ([("a", "t"), ("b", "t")], [], None, "Write one as `schema:`"),
        (THERE, ["sales"], None, "no tables to look at"),
        ([("public", f"t{n}") for n in range(41)], [], None, "TABLES="),
    ],
)
def test_a_choice_that_cannot_be_made_says_what_to_write(
    there: list[tuple[str, str]], wanted: list[str], schema: str | None, message: str
) -> None:
    with pytest.raises(FatalError, match=message):
        chosen_tables(there, wanted, schema)
