"""Rows of users on the local disk, by partition; each user's line among them."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from recsync.recommend.lists import output_staging
from recsync.recommend.lists.batch_output import cut_blocks
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.output_staging import (
    SCORED,
    STAGED,
    dedupe_lines,
    in_order,
    stage_output,
)
from recsync.recommend.lists.partitions import Partitions
from recsync.storage import machine

CATALOG = ItemCatalog(pa.table({"item_id": ["a", "b"], "fields": ["{}", "{}"]}))
LINES = (
    b'{"input":{"userId":"1"},"output":{"recommendedItems":["b","z","a"],"scores":[0.5,0.25,0.125]},"error":null}\n'
    b'{"input":{"userId":"2"},"output":{"recommendedItems":["a"],"scores":[0.5,0.25]},"error":null}\n'
    b'{"input":{"userId":"3"},"output":{"recommendedItems":["a"]},"error":"no such user"}\n'
    b'{"input":{"userId":"4"},"output":{"recommendedItems":["a","b"],"scores":[null,0.25]}}\n'
)


@pytest.mark.parametrize("schema", [STAGED, SCORED])
def test_items_are_staged_by_their_positions(tmp_path: Path, schema: pa.Schema) -> None:
    lines = Partitions(tmp_path / "output", schema, 1)
    staged = stage_output([("a.out", io.BytesIO(LINES + b"<html>\n"))], CATALOG, lines)
    rows = {row["user_id"]: row for row in staged.lines.read(0).to_pylist()}
    assert {user: row["items"] for user, row in rows.items()} == {
        "1": [1, -1, 0],
        "2": [0],
        "3": [],
        "4": [0, 1],
    }
    assert [user for user, row in rows.items() if row["failed"]] == ["3"]
    assert staged.unreadable == 1
    if schema == SCORED:
        # More scores than items belong to none of them.
        scores = {user: [x if x == x else None for x in row["scores"]] for user, row in rows.items()}
        assert scores == {"1": [0.5, 0.25, 0.125], "2": [None], "3": [], "4": [None, 0.25]}


def test_an_object_after_one_with_errors_is_read_only_a_few_blocks_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(machine.THREADS, "1")
    monkeypatch.setattr(output_staging, "cut_blocks", partial(cut_blocks, block_bytes=200))
    failed = b"".join(b'{"input":{"userId":"f%d"},"error":"no such user"}\n' % n for n in range(100))
    good = b"".join(
        b'{"input":{"userId":"g%d"},"output":{"recommendedItems":["a"]},"error":null}\n' % n
        for n in range(100)
    )
    most_ahead = 0

    class Counted(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal most_ahead
            self.reads += 1
            most_ahead = max(most_ahead, self.reads - lines.added)
            return super().read(size)

    class CountedPartitions(Partitions):
        added = 0

        def add(self, batch: pa.RecordBatch) -> None:
            self.added += batch["user_id"][0].as_py().startswith("g")
            super().add(batch)

    lines = CountedPartitions(tmp_path / "output", STAGED, 1)
    stage_output([("a.out", io.BytesIO(failed)), ("b.out", Counted(good))], CATALOG, lines)
    assert len(lines.read(0)) == 200
    assert most_ahead <= 6


def test_results_come_in_the_order_of_the_work() -> None:
    def double(n: int) -> int:
        return 2 * n

    work: Callable[[int], int] = double
    with ThreadPoolExecutor(2) as threads:
        assert list(in_order(threads, work, range(50), ahead=3)) == [2 * n for n in range(50)]


Line = tuple[str, list[int], bool]


def table(*lines: Line, chunk: int = 2) -> pa.Table:
    rows = [dict(zip(STAGED.names, line, strict=True)) for line in lines]
    return pa.Table.from_batches(pa.Table.from_pylist(rows, schema=STAGED).to_batches(chunk), schema=STAGED)


def test_an_answer_counts_before_an_error_and_the_first_before_the_next() -> None:
    lines = table(
        ("b", [], True),
        ("x", [7], False),
        ("a", [1, 2], False),
        ("b", [3, -1], False),
        ("c", [], True),
        ("a", [1, 2], False),
        ("b", [3, -1], False),
        ("c", [], True),
    )
    found = dedupe_lines(lines, pa.array(["a", "b", "c", "d"]))
    assert found.found.tolist() == [True, True, True, False]
    assert found.failed.tolist() == [False, False, True, False]
    lists = [found.items[s : s + n].tolist() for s, n in zip(found.starts, found.lengths, strict=True)]
    assert lists == [[1, 2], [3, -1], [], []]
    assert (found.unknown_users, found.repeated, found.conflicts, found.scores) == (1, 2, 0, None)


def test_users_with_two_different_answers_are_counted_once() -> None:
    lines = table(
        ("a", [1], False), ("a", [1, 2], False), ("a", [2], False), ("b", [1], False), ("b", [], True)
    )
    found = dedupe_lines(lines, pa.array(["a", "b"]))
    assert (found.conflicts, found.repeated) == (1, 2)


def test_scores_go_with_their_items() -> None:
    rows = [("a", [1, 2], False, [0.5, float("nan")]), ("b", [3], False, [0.25])]
    lines = pa.Table.from_pylist([dict(zip(SCORED.names, row, strict=True)) for row in rows], schema=SCORED)
    found = dedupe_lines(lines, pa.array(["b", "a"]))
    assert found.scores is not None
    assert found.scores[found.starts].tolist() == [0.25, 0.5]


def test_nobody_has_a_line() -> None:
    found = dedupe_lines(STAGED.empty_table(), pa.array(["a"]))
    assert (found.found.tolist(), found.lengths.tolist(), found.unknown_users) == ([False], [0], 0)
