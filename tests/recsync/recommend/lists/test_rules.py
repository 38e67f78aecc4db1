"""The post-rules over many lists at once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from recsync.program import Rules
from recsync.recommend.lists.catalog import ItemCatalog, ItemValues
from recsync.recommend.lists.left_out import LeftOut
from recsync.recommend.lists.rules import (
    BOUGHT,
    DUPLICATE,
    LOW_SCORE,
    OUT_OF_STOCK,
    Candidates,
    ListRules,
    UserItems,
    above_limits,
    compact,
)


def test_each_place_counts_under_the_first_rule_it_breaks() -> None:
    ids = pa.array([f"p-{n}" for n in range(8)])
    # Items 0, 1, 2 and 6 are of one aisle, 3 of another; 6 and 7 are of one brand.
    values = ItemValues(
        np.array([0, 1, 2, 3, 4, 4, 4, 6, 7]),
        np.array([0, 0, 0, 1, 0, 2, 2], np.int32),
        np.array([0, 0, 1], np.int8),
        np.array([1, 1, 1]),
    )
    in_stock = np.array([True, False, *[True] * 6])
    catalog = ItemCatalog(pa.table({"item_id": ids, "fields": ids}), {"in_stock": in_stock}, values)
    rules = Rules.model_validate(
        {
            "in_stock": "stock",
            "not_bought_in_days": 7,
            "min_score": 0.25,
            "max_per_category": 1,
            "category": "aisle",
            "max_per": {"brand": 1},
        }
    )
    lists = np.array([[0, 1, 2, 0, 3, -1, 4, 5, 7, 6]], np.int32)
    scores = np.array([[0.9, 0.1, 0.8, 0.7, 0.1, np.nan, np.nan, 0.2, 0.3, 0.25]], np.float32)
    rows = Candidates(
        lists, np.array([7]), {"not_bought_in_days": UserItems(np.array([7 * 8 + 3]), 8)}, scores
    )
    list_rules, left_out = ListRules(rules, catalog), LeftOut.of(1)
    kept, dropped = list_rules.apply(rows, left_out)
    assert kept.tolist() == [[0, -1, -1, -1, -1, -1, 4, -1, 7, -1]]
    assert dropped == {OUT_OF_STOCK: 1, BOUGHT: 1, LOW_SCORE: 1, DUPLICATE: 1, "category": 2}
    assert {name for name, bit in list_rules.bits.items() if left_out.bits[0] & bit} == set(dropped)
    assert lists[0, 1] == 1


@pytest.mark.parametrize(
    ("most", "marked"),
    [((2, 2), [0, 0, 0, 1, 0, 0, 0, 2, 1]), ((2, 1), [0, 0, 0, 1, 0, 0, 2, 2, 1])],
    ids=["one limit", "two limits"],
)
def test_the_first_items_with_a_value_stay(most: tuple[int, int], marked: list[int]) -> None:
    # Items 0 to 3 are of one aisle; 5 to 7 of one brand; 4 has no value.
    values = ItemValues(
        np.array([0, 1, 2, 3, 4, 4, 5, 6, 7]),
        np.array([0, 0, 0, 0, 1, 1, 1], np.int32),
        np.array([0, 1], np.int8),
        np.array(most),
    )
    lists = np.array([[0, 5, 2, 1, 4, -1, 6, 7, 3]], np.int32)
    assert above_limits(lists, values).tolist() == [marked]


def test_lists_are_packed_in_their_order_and_cut() -> None:
    lists, counts = compact(np.array([[-1, 3, -1, 1, 2], [5, 4, 3, 2, 1], [-1, -1, -1, -1, 0]], np.int32), 2)
    assert lists.tolist() == [[3, 1], [5, 4], [0, -1]]
    assert counts.tolist() == [2, 2, 1]
