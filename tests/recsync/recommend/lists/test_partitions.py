"""Rows of users by partition: on the local disk, and in pieces for other tasks."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsync.recommend.lists.partitions import PartitionPlan, Partitions, Pieces, rows_of, rows_of_share

SCHEMA = pa.schema([("user_id", pa.string()), ("n", pa.int64())])
ROWS = pa.table({"user_id": [f"u{n % 70}" for n in range(200)], "n": range(200)}, SCHEMA)


def test_a_user_is_in_the_same_partition_of_everything(tmp_path: Path) -> None:
    users = [f"u{n}" for n in range(100)]
    with (
        Partitions(tmp_path / "a", SCHEMA, 4) as first,
        Partitions(tmp_path / "b", SCHEMA, 4) as second,
    ):
        first.add(pa.record_batch({"user_id": users, "n": range(100)}, SCHEMA))
        for user in reversed(users):
            second.add(pa.record_batch({"user_id": [user], "n": [0]}, SCHEMA))
    parts = [(set(first.read(n)["user_id"].to_pylist()), second.read(n)) for n in range(4)]
    assert sum(len(found) for found, _ in parts) == 100
    for n, (found, other) in enumerate(parts):
        assert found == set(other["user_id"].to_pylist())
        assert first.read(n)["n"].to_pylist() == sorted(first.read(n)["n"].to_pylist())


def test_a_users_partition_never_changes(tmp_path: Path) -> None:
    parts = Partitions(tmp_path / "a", SCHEMA, 3).fill(ROWS.slice(0, 9).to_batches())
    assert [parts.read(n)["user_id"].to_pylist() for n in range(3)] == [
        [],
        ["u0", "u1", "u4", "u6", "u7", "u8"],
        ["u2", "u3", "u5"],
    ]


@pytest.mark.parametrize("tasks", [1, 2, 3, 7])
def test_pieces_of_any_number_of_tasks_are_the_partitions_of_one(tmp_path: Path, tasks: int) -> None:
    pq.write_table(ROWS, tmp_path / "rows.parquet", row_group_size=13)
    whole = Partitions(tmp_path / "whole", SCHEMA, 5).fill(rows_of([tmp_path / "rows.parquet"]))
    pieces = []
    for task in range(tasks):
        with pq.ParquetFile(tmp_path / "rows.parquet") as file:
            split = Partitions(tmp_path / f"{task}", SCHEMA, 5).fill(rows_of_share(file, task, tasks))
        split.write_piece(range(1, 4), tmp_path / f"piece-{task}")
        pieces.append(tmp_path / f"piece-{task}")
    found = Pieces(pieces, range(1, 4))
    assert [found.read(part) for part in range(1, 4)] == [whole.read(part) for part in range(1, 4)]
    some = Partitions(tmp_path / "some", SCHEMA, 5, range(1, 4)).fill(ROWS.to_batches())
    assert [some.read(part) for part in range(1, 4)] == [whole.read(part) for part in range(1, 4)]


class CountedReads(io.BytesIO):
    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_a_share_is_read_one_row_group_at_a_time() -> None:
    """With ``pre_buffer``, Arrow reads all row groups that it is asked for before it returns the first row."""
    written = io.BytesIO()
    rows = pa.table({"user_id": [f"u{n * 7919 % 65537:x}" for n in range(40_000)]})
    pq.write_table(rows, written, row_group_size=4_000, use_dictionary=False, compression="none")
    source = CountedReads(written.getvalue())
    with pq.ParquetFile(source, pre_buffer=True) as file:
        opened = source.count
        batches = rows_of_share(file, 0, 2)
        next(batches)
        assert source.count - opened < len(written.getvalue()) // 9
        assert sum(batch.num_rows for batch in batches) == 20_000 - 4_000


def test_columns_that_an_earlier_release_did_not_write_are_null(tmp_path: Path) -> None:
    parts = Partitions(tmp_path / "a", SCHEMA, 1).fill(ROWS.select(["user_id"]).to_batches())
    assert parts.read(0)["n"].null_count == 200


@pytest.mark.parametrize(
    ("people", "past_lists", "parts", "files"),
    [
        (0, 0, 1, 1),
        (100_000, 0, 1, 1),
        (100_001, 0, 2, 1),
        (100_001, 5, 3, 1),
        (2_000_000, 0, 20, 1),
        (20_000_000, 0, 200, 10),
        (10**9, 0, 256, 256),
    ],
)
def test_an_audience_is_split_by_its_size(people: int, past_lists: int, parts: int, files: int) -> None:
    plan = PartitionPlan.of(people, past_lists, people_per_file=2_000_000)
    assert (plan.parts, plan.files) == (parts, files)
    for tasks in (1, 2, 3):
        shares = [plan.share(task, tasks) for task in range(tasks)]
        assert [part for share in shares for part in plan.inside(share)] == [*range(parts)]
