"""The rows of catalogue.sql as columns."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from recsync.core.lists.catalogue import CATALOGUE, Catalogue, read_catalogue
from recsync.core.payloads import CATALOG_ID
from recsync.core.program import Rules
from recsync.errors import FatalError

COLUMNS = ["item_id", "name", "price", "stock", "aisle"]
RULES = Rules(in_stock="stock", max_per_category=1, category="aisle")


def read(rows: list[tuple[Any, ...]], **fields: Any) -> Catalogue:
    options = {"sent_fields": ["name", "price"], "rules": RULES, "name": "shop/catalogue.sql", **fields}
    return read_catalogue(rows, COLUMNS, options.pop("sent_fields"), options.pop("rules"), **options)


def test_items_are_sorted_and_hold_what_is_sent() -> None:
    catalogue = read([("b", "Bé", Decimal("2.50"), True, "x"), (10, None, float("nan"), None, None)])
    assert catalogue.table.schema == CATALOGUE
    assert catalogue.table["item_id"].to_pylist() == ["10", "b"]
    fields = [json.loads(text) for text in catalogue.table["fields"].to_pylist()]
    assert fields == [{"name": None, "price": None}, {"name": "Bé", "price": 2.5}]
    assert catalogue.positions(pa.array(["b", "10", "c", None])).tolist() == [1, 0, -1, -1]


def test_rules_see_stock_and_category() -> None:
    catalogue = read(
        [
            ("a", "", 1, True, "x | z||x"),
            ("b", "", 1, 0, "y"),
            ("c", "", 1, None, "x"),
            ("d", "", 1, 1, None),
        ]
    )
    assert catalogue.in_stock is not None
    assert catalogue.in_stock.tolist() == [True, False, False, True]
    assert catalogue.categories is not None
    starts, codes = catalogue.categories.starts.tolist(), catalogue.categories.codes.tolist()
    first, second, third, none = (codes[start:end] for start, end in itertools.pairwise(starts))
    assert (len(first), third, none) == (2, first[:1], [])
    assert len({*first, *second}) == 3
    plain = read([("a", "", 1, "who knows", "x")], rules=Rules())
    assert (plain.in_stock, plain.categories) == (None, None)


def test_the_last_of_two_rows_of_an_item_counts() -> None:
    catalogue = read([("a", "old", 1, True, "x"), ("b", "b", 1, True, "x"), ("a", "new", 1, False, "x")])
    assert [json.loads(text)["name"] for text in catalogue.table["fields"].to_pylist()] == ["new", "b"]
    assert catalogue.in_stock is not None
    assert catalogue.in_stock.tolist() == [False, True]


def test_unusable_ids_are_left_out_and_counted() -> None:
    rows = [(item_id, "", 1, True, "x") for item_id in ("good-1", "not good", None, "", "line\n")]
    assert read(rows, usable=CATALOG_ID).table["item_id"].to_pylist() == ["good-1"]
    assert read(rows, usable=CATALOG_ID).unusable == 4
    assert read(rows).table["item_id"].to_pylist() == ["good-1", "line\n", "not good"]


def test_ids_that_braze_would_drop_from_an_attribute_are_left_out_and_counted() -> None:
    longest = "é" * 255
    catalogue = read([(longest, "", 1, True, "x"), (f"{longest}x", "", 1, True, "x")])
    assert (catalogue.table["item_id"].to_pylist(), catalogue.unusable) == ([longest], 1)


def test_what_cannot_be_used_is_named() -> None:
    with pytest.raises(FatalError, match=r"shop/catalogue\.sql returns no item"):
        read([(None, "", 1, True, "x")])
    with pytest.raises(FatalError, match=r"returns 'yes' as stock of item a; .* needs a boolean column"):
        read([("a", "", 1, "yes", "x")])
