"""Purchases, and what was bought together with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.recommend.lists.history import Similar, rank_in_run, similar_items, write_events


def test_rows_that_an_export_would_quarantine_are_left_out(tmp_path: Path) -> None:
    columns = [["u", "u", None, "v", "w"], ["a", "b", "c", None, "d"], ["7", "soon", "8", "9", "10"]]
    types = ["buy", "buy", "buy", "buy", "view"]
    batch = pa.RecordBatch.from_arrays([pa.array(each) for each in [*columns, types]], ["u", "i", "t", "e"])
    assert write_events([batch], tmp_path / "events.parquet", ("buy",)) == 1
    assert pq.read_table(tmp_path / "events.parquet").to_pylist() == [
        {"user_id": "u", "item_id": "a", "timestamp": 7}
    ]
    assert write_events([batch], tmp_path / "events.parquet") == 2


def test_what_goes_with_the_last_items_comes_first() -> None:
    # 0 goes with 1 (3 times) and 2 (once), 3 goes with 2 (3 times).
    similar = Similar(np.array([0, 2, 2, 2, 3]), np.array([1, 2, 2], np.int32), np.array([3, 1, 3]))
    users, items, times = np.array([0, 1, 1]), np.array([0, 0, 3], np.int32), np.array([5, 5, 6])
    ranked, recent = similar_items(similar, users, items, times, 3)
    assert recent[:, :3].tolist() == [[0, -1, -1], [3, 0, -1], [-1, -1, -1]]
    assert ranked[:, :3].tolist() == [[1, 2, -1], [2, 1, -1], [-1, -1, -1]]


def test_places_are_numbered_within_their_run() -> None:
    assert rank_in_run(np.array([4, 4, 4, 7, 9, 9])).tolist() == [0, 1, 2, 0, 0, 1]
