"""Rows of users on the local disk, by partition; each user's line among them."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.output_staging import (
    SCORED,
    STAGED,
    Partitions,
    dedupe_lines,
    in_order,
    partitions_for,
    stage_output,
)

CATALOG = ItemCatalog(pa.table({"item_id": ["a", "b"], "fields": ["{}", "{}"]}))
LINES = (
    b'{"input":{"userId":"1"},"output":{"recommendedItems":["b","z","a"],"scores":[0.5,0.25,0.125]},"error":null}\n'
    b'{"input":{"userId":"2"},"output":{"recommendedItems":["a"],"scores":[0.5,0.25]},"error":null}\n'
    b'{"input":{"userId":"3"},"output":{"recommendedItems":["a"]},"error":"no such user"}\n'
    b'{"input":{"userId":"4"},"output":{"recommendedItems":["a","b"],"scores":[null,0.25]}}\n'
)


def test_a_user_is_in_the_same_partition_of_everything(tmp_path: Path) -> None:
    schema = pa.schema([("user_id", pa.string()), ("n", pa.int64())])
    users = [f"u{n}" for n in range(100)]
    connection = duckdb.connect()
    with (
        Partitions(connection, tmp_path / "a", schema, 4) as first,
        Partitions(connection, tmp_path / "b", schema, 4) as second,
    ):
        first.add(pa.record_batch({"user_id": users, "n": range(100)}, schema))
        for user in reversed(users):
            second.add(pa.record_batch({"user_id": [user], "n": [0]}, schema))
    parts = [(set(first.read(n)["user_id"].to_pylist()), second.read(n)) for n in range(4)]
    assert sum(len(found) for found, _ in parts) == 100
    for n, (found, other) in enumerate(parts):
        assert found == set(other["user_id"].to_pylist())
        assert first.read(n)["n"].to_pylist() == sorted(first.read(n)["n"].to_pylist())


@pytest.mark.parametrize(("people", "parts"), [(0, 1), (100, 1), (101, 2), (10**9, 256)])
def test_an_audience_is_split_by_its_size(people: int, parts: int) -> None:
    assert partitions_for(people, 100) == parts


@pytest.mark.parametrize("schema", [STAGED, SCORED])
def test_items_are_staged_by_their_positions(tmp_path: Path, schema: pa.Schema) -> None:
    lines = Partitions(duckdb.connect(), tmp_path / "output", schema, 1)
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
