"""The work that the tasks of a run share, as they find it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.recommend.list_spool import WORK, ListSpool, ListWork
from recsync.recommend.lists.partitions import PartitionPlan


def test_the_work_is_read_as_it_was_written_and_says_which_tables_there_are(
    small_shop: SmallShop, tmp_path: Path
) -> None:
    spool = ListSpool(small_shop.context, "run", tmp_path)
    with pytest.raises(FatalError, match=r"run run is gone from S3: .* Clear the task divide_lists"):
        spool.work()
    outputs = {"": [("a.out", 3), ("b.out", 4)]}
    work = ListWork("stamp", 2, PartitionPlan(4, 2), outputs, {"not_in": 2}, True, True, False)
    spool.put_json(WORK, asdict(work))
    assert spool.work() == work
    assert work.output_bytes == 7
    assert [*spool.tables(work)] == ["audience", "purchases", "not_in-0", "not_in-1"]
