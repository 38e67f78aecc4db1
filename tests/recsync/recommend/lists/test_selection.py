"""Shares, positions and diversity over many lists at once; ``test_build`` compares whole lists with a reference."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from list_kit import bought, with_ids
from list_reference import NOW

from recsync.program import Recommendations
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.build import build_lists
from recsync.recommend.lists.catalog import read_catalog
from recsync.recommend.lists.list_partition import ListsReport
from recsync.recommend.lists.selection import diverse, places_of
from recsync.warehouse.column_types import Kind

PEOPLE, ITEMS, ANSWERS = 2_000, 400, 40
PROMOTED = {f"p{n:03}" for n in range(0, ITEMS, 9)}
NAMES = {f"p{n:03}": f"product {n % 150}" for n in range(ITEMS)}
NEW = {f"p{n:03}" for n in range(0, ITEMS, 13)}


def shop_lists(
    folder: Path, rules: dict[str, Any], **fields: Any
) -> tuple[dict[str, list[str]], ListsReport]:
    """Build the lists of a shop: the first 100 people have no answer, the next 100 one promoted item each."""
    policy = Recommendations.model_validate({"length": 12, "rules": rules, "fallback": ["popular"], **fields})
    users = [f"u{n:04}" for n in range(PEOPLE)]
    people = [{"user_id": user, "external_id": user} for user in users]
    pq.write_table(pa.Table.from_pylist(people, schema=AUDIENCE), folder / "audience.parquet")
    chosen = np.random.default_rng(1)
    items, promoted, lines = list(NAMES), sorted(PROMOTED), []
    for number, user in enumerate(users[100:]):
        answer = chosen.choice(items, ANSWERS, replace=False).tolist()
        if number < 100:
            answer = [item for item in answer if item not in PROMOTED] + promoted[:1]
        lines.append(
            json.dumps({"input": {"userId": user}, "output": {"recommendedItems": answer}, "error": None})
        )
    sold = chosen.zipf(1.3, 20_000) % ITEMS
    events = [
        {"user_id": f"x{n}", "item_id": items[item], "timestamp": int(NOW.timestamp()) - 9}
        for n, item in enumerate(sold.tolist())
    ]
    columns = {
        "item_id": items,
        "name": [*NAMES.values()],
        "promoted": ["t" if item in PROMOTED else "f" for item in items],
        "created": [("2026-11-19" if item in NEW else "2026-01-01") for item in items],
    }
    kinds = {"name": Kind.TEXT, "promoted": Kind.BOOLEAN, "created": Kind.MOMENT}
    rows = pa.RecordBatch.from_pydict(columns)
    catalog = read_catalog([rows], kinds, {}, policy.rules, moment=NOW, name="catalogue.sql")
    (folder / "work").mkdir()
    report = build_lists(
        [("users.out", io.BytesIO("\n".join(lines).encode()))],
        folder / "audience.parquet",
        catalog,
        policy,
        folder / "lists.parquet",
        folder / "work",
        moment=NOW,
        purchases=bought(events, catalog, folder / "purchases.parquet"),
        people_per_partition=700,
    )
    rows = with_ids(pq.read_table(folder / "lists.parquet"), catalog)
    return {row["external_id"]: row["items"] for row in rows}, report


def put_by(folder: Path) -> dict[str, list[str]]:
    """Read what put the items of each list there."""
    table = pq.read_table(folder / "lists.parquet")
    return dict(zip(table["external_id"].to_pylist(), table["put_by"].to_pylist(), strict=True))


def held(lists: dict[str, list[str]], items: set[str]) -> set[int]:
    return {len(items.intersection(listed)) for listed in lists.values()}


def test_everybody_has_the_share_of_promoted_items_and_no_name_twice(tmp_path: Path) -> None:
    promoted = {"column": "promoted", "share": 0.2, "positions": [2, 5]}
    lists, report = shop_lists(tmp_path, {"promoted": promoted, "distinct": ["name"]})
    assert {len(items) for items in lists.values()} == {12}
    assert held(lists, PROMOTED) == {2}
    for items in lists.values():
        assert len({NAMES[item] for item in items}) == 12
        assert [place for place, item in enumerate(items, start=1) if item in PROMOTED] == [2, 5]
    for user, rules in put_by(tmp_path).items():
        other = "personal" if user >= "u0100" else "popular"
        # An own item, too, that the share took.
        assert rules == [other, "promoted", other, other, "promoted", *[other] * 7]
    # The pool offers what most people bought first, so those without promoted items of their own get the same.
    without = [lists[f"u{n:04}"][1:5:3] for n in range(100)]
    assert all(pair == without[0] for pair in without)
    assert lists["u0150"][1] == sorted(PROMOTED)[0]
    assert (report.missed, report.short) == ({}, {})
    assert report.dropped["promoted"] > 0
    assert report.dropped["distinct.name"] > 0


def test_a_share_of_new_items_is_the_least_and_goes_with_the_others(tmp_path: Path) -> None:
    rules = {
        "promoted": {"column": "promoted", "share": 0.25},
        "new_items_share": {"days": 3, "column": "created", "share": 0.25},
        "diversity": {"by": "name", "strength": 0.5},
        "distinct": ["name"],
    }
    lists, report = shop_lists(tmp_path, rules)
    assert held(lists, PROMOTED) == {3}
    assert min(held(lists, NEW)) == 3
    assert report.missed == {}
    for user, rules in put_by(tmp_path).items():
        by_rule = {
            name: {i for i, rule in zip(lists[user], rules, strict=True) if rule == name} for name in rules
        }
        assert by_rule["promoted"] == PROMOTED.intersection(lists[user])
        # New items that are promoted count for both shares.
        assert len(by_rule.get("new_items_share", ())) == 3 - len(by_rule["promoted"] & NEW)
        assert by_rule.get("new_items_share", set()) <= NEW
        assert set(rules) <= {"promoted", "new_items_share", "personal" if user >= "u0100" else "popular"}


def test_a_share_without_enough_items_is_told(tmp_path: Path) -> None:
    new = {"days": 1, "column": "created", "share": 0.25}
    lists, report = shop_lists(tmp_path, {"new_items_share": new})
    assert (len(lists), report.missed) == (PEOPLE, {"new_items_share": PEOPLE})


def test_nobody_gets_a_list_of_promoted_items_alone(tmp_path: Path) -> None:
    promoted = {"column": "promoted", "share": 0.2}
    lists, report = shop_lists(tmp_path, {"promoted": promoted}, fallback=[], min_length=1)
    assert [len(lists[f"u{n:04}"]) for n in (0, 99, 100)] == [0, 0, 12]
    assert report.suppressed == {"the batch output has no line for this person": 100}
    (tmp_path / "capped").mkdir()
    capped, _ = shop_lists(
        tmp_path / "capped", {"promoted": {**promoted, "share": 0}}, fallback=[], min_length=1
    )
    assert held(capped, PROMOTED) == {0}


def test_promoted_items_take_their_positions_and_the_others_keep_their_order() -> None:
    marked = np.array([[0, 1, 0, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], np.bool_)
    assert places_of(marked, [4, 1]).tolist() == [[3, 0, 2, 1, 4], [0, 1, 2, 4, 3], [0, 1, 2, 3, 4]]
    assert places_of(marked, []).tolist() == [[*range(5)]] * 3


@pytest.mark.parametrize(
    ("strength", "expected"),
    [(0, [0, 1, 2, 3]), (1, [0, 3, 5, 1]), (0.5, [0, 3, 1, 5])],
)
def test_diversity_alternates_the_groups(strength: float, expected: list[int]) -> None:
    groups = np.array([[7, 7, 7, 8, 8, -1]], np.int32)
    values = 1 - np.arange(6)[None] / 6
    good, none = np.ones((1, 6), np.bool_), np.empty((1, 0), np.int32)
    found = diverse(groups, values, good, np.array([4]), none, np.array([0]), strength)
    assert found.tolist() == [expected]


def test_diversity_sees_what_was_chosen_before() -> None:
    groups = np.array([[7, 8]], np.int32)
    values, good = np.ones((1, 2)), np.ones((1, 2), np.bool_)
    found = diverse(groups, values, good, np.array([2]), np.array([[7, -1]], np.int32), np.array([1]), 0.5)
    assert found.tolist() == [[1, 0]]
    assert diverse(
        groups, values, good, np.array([0]), np.empty((1, 0), np.int32), np.array([0]), 1
    ).shape == (1, 0)
