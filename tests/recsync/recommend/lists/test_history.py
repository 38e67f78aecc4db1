"""Purchases, and what was bought together with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.program import Rules
from recsync.recommend.lists.catalog import read_catalog
from recsync.recommend.lists.history import Similar, rank_in_run, similar_items, write_purchases


def test_rows_that_an_export_would_quarantine_and_unknown_items_are_left_out(tmp_path: Path) -> None:
    columns = [
        ["u", "u", None, "v", "w", "x"],
        ["a", "b", "c", None, "d", "gone"],
        ["7", "soon", "8", "9", "10", "11"],
    ]
    types = ["buy", "buy", "buy", "buy", "view", "buy"]
    items = pa.RecordBatch.from_pydict({"item_id": ["d", "c", "b", "a"]})
    catalog = read_catalog([items], {}, {}, Rules(), name="c.sql")
    target = tmp_path / "purchases.parquet"
    batch = pa.RecordBatch.from_arrays([pa.array(each) for each in [*columns, types]], ["u", "i", "t", "e"])
    assert write_purchases([batch], target, catalog, ("buy",)) == 2
    assert pq.read_table(target).to_pylist() == [{"user_id": "u", "item": 0, "timestamp": 7}]
    assert write_purchases([batch], target, catalog) == 3
    assert pq.read_table(target)["item"].to_pylist() == [0, 3]


def test_the_batches_of_a_warehouse_are_joined(tmp_path: Path) -> None:
    items = pa.RecordBatch.from_pydict({"item_id": ["a"]})
    catalog = read_catalog([items], {}, {}, Rules(), name="c.sql")
    batches = [
        pa.RecordBatch.from_pydict({"u": [f"u{n}"] * 7_000, "i": ["a"] * 7_000, "t": [str(n)] * 7_000})
        for n in range(12)
    ]
    assert write_purchases(iter(batches), tmp_path / "purchases.parquet", catalog) == 84_000
    with pq.ParquetFile(tmp_path / "purchases.parquet") as file:
        assert file.num_row_groups == 2
        assert file.read()["timestamp"].to_pylist() == [n for n in range(12) for _ in range(7_000)]


def test_what_goes_with_the_last_items_comes_first() -> None:
    # 0 goes with 1 (3 times) and 2 (once), 3 goes with 2 (3 times).
    similar = Similar(np.array([0, 2, 2, 2, 3]), np.array([1, 2, 2], np.int32), np.array([3, 1, 3]))
    users, items = np.array([0, 1, 1, 1, 0]), np.array([0, 0, 3, 0, 0], np.int32)
    times = np.array([5, 5, 6, 4, 5])
    ranked, recent = similar_items(similar, users, items, times, 3)
    assert recent[:, :3].tolist() == [[0, -1, -1], [3, 0, -1], [-1, -1, -1]]
    assert ranked[:, :3].tolist() == [[1, 2, -1], [2, 1, -1], [-1, -1, -1]]


def test_places_are_numbered_within_their_run() -> None:
    assert rank_in_run(np.array([4, 4, 4, 7, 9, 9])).tolist() == [0, 1, 2, 0, 0, 1]
