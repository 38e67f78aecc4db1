"""What is recorded of rules; test_build.py compares it with a slow way of applying them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from recsync.recommend.lists.left_out import LeftOut, names_in, rules_in


def test_entries_of_blocks_are_ordered_by_person() -> None:
    recorded = LeftOut.of(4, with_entries=True)
    recorded.rows(2, 4).add_unknown(0, np.array([0, 2]))
    recorded.rows(0, 2).add(1, np.array([[True, False], [False, True]]), np.array([[7, 8], [9, 6]], np.int32))
    recorded.rows(2, 4).add(1, np.array([[False], [True]]), np.array([[1], [2]], np.int32))
    recorded.seeds.append((np.array([0, 0, 3]), np.array([4, 5, 6], np.int32)))
    rows = recorded.table(pa.array(["a", "b", "c", "d"])).to_pylist()
    assert [(row["items"], row["rules"], row["all_rules"], row["seeds"]) for row in rows] == [
        ([7], [1], 2, [4, 5]),
        ([6], [1], 2, []),
        ([], [], 0, []),
        ([-1, -1, 2], [0, 0, 1], 3, [6]),
    ]


def test_without_entries_only_the_rules_are_kept() -> None:
    recorded = LeftOut.of(2)
    recorded.add(3, np.array([[False], [True]]), np.array([[1], [2]], np.int32))
    assert (recorded.bits.tolist(), recorded.entries) == ([0, 8], None)
    assert recorded.table(pa.array(["a", "b"]))["all_rules"].to_pylist() == [0, 8]


def test_names_of_rules_are_in_the_file() -> None:
    metadata = {key.encode(): value.encode() for key, value in rules_in(["bought", "max_per.brand"]).items()}
    assert names_in(metadata) == ["bought", "max_per.brand"]
    assert names_in({}) == []
