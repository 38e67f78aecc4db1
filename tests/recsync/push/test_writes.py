"""Cutting a plan into calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsync.push import writes
from recsync.push.plan_format import PARTS, SETTLED, WRITES
from recsync.push.writes import Batch, open_batches, rows_of_newcomers


def write_plan(folder: Path, sizes: dict[str, list[int]]) -> list[bytes]:
    """Write the parts of a plan, with objects of these sizes; return all objects."""
    (folder / "writes").mkdir()
    objects: list[bytes] = []
    for part in PARTS:
        here = [json.dumps(f"{part}-{n}").encode().ljust(size, b" ") for n, size in enumerate(sizes[part])]
        rows = [
            {
                "external_id": f"{part}-{n}",
                "in_audience": True,
                "removal": False,
                "object": o,
                "data_points": 1,
                "changes": [],
            }
            for n, o in enumerate(here)
        ]
        pq.write_table(
            pa.Table.from_pylist(rows, WRITES), folder / "writes" / f"{part}.parquet", row_group_size=7
        )
        objects += here
    return objects


REPO = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPO / "plugins")}
# pyarrow imports pandas where an array is made of Python's or numpy's values.
DELIVERY = """
import sys
from pathlib import Path
import numpy as np
from recsync.push import accounts, deliver, read_back
from recsync.push.ledger import EntryKind, Ledger, LedgerEntry, Refusal
from recsync.push.plan_format import PARTS, PlanFigures
from recsync.push.writes import open_batches, taken_lists
folder, rows = Path(sys.argv[1]), {part: 20 for part in PARTS}
figures = PlanFigures(60, rows, 40, 20, 0, {}, {}, 60, 0)
is_open = np.arange(60) % 7 > 0
sent = [row for batch in open_batches(folder, is_open, PARTS, max_objects=9, max_bytes=2_000) for row in batch.rows]
ledger = Ledger.of(60, [LedgerEntry(
    EntryKind.PROGRESS, "now", sending=((0, 60),), taken=((0, 50),), rejected=(Refusal(50, "too bad"),),
    dead=tuple(Refusal(row, "no answer") for row in range(51, 60)),
)])
account = accounts.settle(folder, figures, ledger, None, folder / "accounts.parquet", folder)
accounts.merge_state(None, folder, figures, ledger, "d-1", folder / "state.parquet", folder)
people = sum(len(ids) for _, ids in taken_lists(folder, ledger.statuses, PARTS, np.ones(60, np.bool_)))
print(len(sent), account.outcomes["sent"], people, *sys.modules)
"""


def test_a_delivery_imports_no_pandas(tmp_path: Path) -> None:
    write_plan(tmp_path, dict.fromkeys(PARTS, [40] * 20))
    pq.write_table(SETTLED.empty_table(), tmp_path / "settled.parquet")
    command = [sys.executable, "-c", DELIVERY, str(tmp_path)]
    done = subprocess.run(command, cwd=REPO, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    sent, taken, people, *modules = done.stdout.split("\n")[-2].split()
    assert (sent, taken, people, "pandas" in modules) == ("51", "50", "50", False)


SIZES = st.lists(st.sampled_from([15, 40, 90, 300]), max_size=25)


@settings(deadline=None, max_examples=60)
@given(
    st.fixed_dictionaries(dict.fromkeys(PARTS, SIZES)),
    st.data(),
    st.integers(1, 10),
    st.sampled_from([50, 200, 1_000, 10_000]),
    st.sampled_from([1, 4, 10, 15_000]),
)
def test_every_open_row_is_in_one_call_in_the_order_of_the_plan(
    sizes: dict[str, list[int]], data: st.DataObject, max_objects: int, max_bytes: int, chunk_rows: int
) -> None:
    total = sum(map(len, sizes.values()))
    is_open = np.array(data.draw(st.lists(st.booleans(), min_size=total, max_size=total)), dtype=np.bool_)
    parts = tuple(part for part in PARTS if data.draw(st.booleans()))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writes, "_CHUNK_ROWS", chunk_rows)
        objects = write_plan(Path(folder), sizes)
        cut = list(open_batches(Path(folder), is_open, parts, max_objects=max_objects, max_bytes=max_bytes))
    rows = [row for batch in cut for row in batch.rows]
    assert rows == [row for row in rows_of(sizes, parts) if is_open[row]]
    assert [o for batch in cut for o in batch.objects] == [objects[row] for row in rows]
    for batch in cut:
        assert 1 <= len(batch.rows) == len(batch.objects) <= max_objects
        assert len(batch.rows) == 1 or len(b",".join(batch.objects)) <= max_bytes


def rows_of(sizes: dict[str, list[int]], parts: Sequence[str]) -> list[int]:
    rows, first = [], 0
    for part in PARTS:
        if part in parts:
            rows += range(first, first + len(sizes[part]))
        first += len(sizes[part])
    return rows


def test_calls_are_full_when_nothing_is_in_the_way(tmp_path: Path) -> None:
    write_plan(tmp_path, {"canary": [20] * 3, "removals": [], "rest": [20] * 200})
    cut = open_batches(tmp_path, np.ones(203, dtype=np.bool_), PARTS, max_objects=75, max_bytes=10_000)
    assert [len(batch.rows) for batch in cut] == [3, 75, 75, 50]


@given(st.integers(1, 40), st.sets(st.integers(0, 39)))
def test_parts_of_a_batch_keep_rows_and_objects_together(size: int, left_out: set[int]) -> None:
    batch = Batch(tuple(range(10, 10 + size)), tuple(b"%d" % n for n in range(10, 10 + size)))
    first, second = batch.halves()
    kept = batch.without(left_out)
    assert first.rows + second.rows == batch.rows
    assert abs(len(first.rows) - len(second.rows)) <= 1
    assert kept.rows == tuple(row for row in batch.rows if row - 10 not in left_out)
    for part in (first, second, kept):
        assert [int(o) for o in part.objects] == list(part.rows)


def test_newcomers_are_those_without_a_known_value(tmp_path: Path) -> None:
    (tmp_path / "writes").mkdir()
    for part, people in (("canary", ["a", "b"]), ("removals", ["c"]), ("rest", ["d", "e"])):
        columns = {"external_id": people, "object": [b"{}"] * len(people)}
        pq.write_table(pa.table(columns), tmp_path / "writes" / f"{part}.parquet")
    assert rows_of_newcomers(tmp_path, None, tmp_path).tolist() == [True] * 5
    state = tmp_path / "state.parquet"
    known = {"external_id": ["a", "a", "d", "e"], "fingerprint": pa.array([1, None, None, 2], pa.uint64())}
    pq.write_table(pa.table(known), state)
    assert rows_of_newcomers(tmp_path, state, tmp_path).tolist() == [False, True, True, True, False]
