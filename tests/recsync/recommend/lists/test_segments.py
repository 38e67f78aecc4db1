"""Lists from the output of a batch segment job."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from list_kit import made

from recsync.errors import FatalError
from recsync.recommend.lists.job_input import write_segments
from recsync.recommend.lists.list_partition import NO_LINE, NOT_ASKED
from recsync.recommend.lists.segments import by_segment, write_found_people

SEGMENT_LINES = [
    {"input": {"itemId": "p1"}, "output": {"recommendedUsers": ["u1", "u0", "stranger"]}, "error": None},
    {"input": {"itemId": "p2"}, "output": {"usersList": ["u0", "u2"]}, "error": None},
    {"input": {"itemId": "p3"}, "output": {"recommendedUsers": []}, "error": "no such item"},
    {"input": {"itemId": "p9"}, "output": {"recommendedUsers": ["u5"]}},
]


def test_people_get_the_items_they_were_found_for_best_rank_first(tmp_path: Path) -> None:
    rows = [("p3",), ("p2",), ("p1",), ("p2",)]
    write_segments(rows, tmp_path / "segments.parquet", attributes=False, name="s.sql")
    lists, report = made(SEGMENT_LINES, by_segment(tmp_path / "segments.parquet"), tmp_path)
    assert {user: items for user, (items, _) in lists.items() if items} == {
        "u0": ["p2", "p1"],
        "u1": ["p1"],
        "u2": ["p2"],
    }
    assert (report.unknown_users, report.unreadable) == (1, 1)
    # One of three queries has no answer, so whoever was not found may be among those of that one.
    assert (report.questions, report.answered, dict(report.unanswered)) == (3, 2, {NO_LINE: 3})


def test_attributes_bring_the_items_named_beside_them(tmp_path: Path) -> None:
    red, blue = 'ITEMS.COLOUR = "red"', 'ITEMS.COLOUR = "blue"'
    rows = [(blue, "p5"), (red, "p2"), (red, "p1"), (None, "p0"), (blue, "p1")]
    write_segments(rows, tmp_path / "segments.parquet", attributes=True, name="s.sql")
    lines = [
        {"itemAttributes": red, "output": {"recommendedUsers": ["u0", "u1"]}},
        {"input": {"itemAttributes": blue}, "output": {"usersList": ["u1", "u0"]}, "error": None},
    ]
    lists, _ = made(lines, by_segment(tmp_path / "segments.parquet"), tmp_path)
    assert lists["u0"][0] == ["p2", "p1", "p5"]
    assert lists["u1"][0] == ["p5", "p1", "p2"]
    assert lists["u2"] == ([], NOT_ASKED)


def test_a_segment_job_that_found_nobody_stops(tmp_path: Path) -> None:
    outputs = [("a.out", io.BytesIO(json.dumps(SEGMENT_LINES[2]).encode()))]
    with pytest.raises(FatalError, match=r"1 of 1 queries .* have no answer \(1 lines with an error"):
        write_found_people(outputs, pa.array(["p3"]), tmp_path / "found.parquet")


def test_an_audience_of_which_a_query_is_missing_is_not_known(tmp_path: Path) -> None:
    outputs = [("a.out", io.BytesIO(json.dumps(SEGMENT_LINES[0]).encode()))]
    with pytest.raises(FatalError, match=r"1 of 2 queries .* have no answer"):
        write_found_people(outputs, pa.array(["p1", "p2"]), tmp_path / "found.parquet")


def test_a_query_that_is_answered_twice_counts_once_or_is_an_error(tmp_path: Path) -> None:
    def found(users: list[str]) -> int:
        lines = [SEGMENT_LINES[1], {"input": {"itemId": "p2"}, "output": {"recommendedUsers": users}}]
        body = b"\n".join(json.dumps(line).encode() for line in lines)
        write_found_people([("a.out", io.BytesIO(body))], pa.array(["p2"]), tmp_path / "found.parquet")
        return int(pq.read_metadata(tmp_path / "found.parquet").num_rows)

    assert found(["u0", "u2"]) == 2
    with pytest.raises(FatalError, match="line 2 answers a query for the second time"):
        found(["u2"])
