"""Lists from outputs that are not about people: related items, segments, one list for all; against the obvious way."""

from __future__ import annotations

import io
import json
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from list_reference import NOW

from recsync.errors import FatalError
from recsync.program import Recommendations
from recsync.recommend.lists import output_mapping as joins
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.build import ListsReport, build_lists
from recsync.recommend.lists.catalogue import read_catalogue
from recsync.recommend.lists.job_input import write_segments
from recsync.recommend.lists.list_partition import FAILED, NO_LINE, NOT_ASKED
from recsync.recommend.lists.output_mapping import SEEDS, Join, by_seed, by_some_users, for_everybody
from recsync.recommend.lists.segments import by_segment, write_found_people

ITEMS = [f"p{n}" for n in range(8)]
USERS = [f"u{n}" for n in range(6)]
Lines = list[tuple[str, list[str] | str]]


def made(
    lines: Iterable[dict[str, Any]],
    join: Join,
    folder: Path,
    users: list[str] = USERS,
    per_partition: int = 2,
) -> tuple[dict[str, tuple[list[str], str]], ListsReport]:
    """Build everybody's list and reason."""
    people = [{"user_id": user, "external_id": f"b-{user}"} for user in users]
    pq.write_table(pa.Table.from_pylist(people, schema=AUDIENCE), folder / "audience.parquet")
    policy = Recommendations(length=6, min_length=1)
    items = pa.RecordBatch.from_pydict({"item_id": ITEMS})
    catalogue = read_catalogue([items], {}, {}, policy.rules, name="c.sql")
    (folder / "work").mkdir()
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    report = build_lists(
        [("lines.out", io.BytesIO(body))],
        folder / "audience.parquet",
        catalogue,
        policy,
        folder / "lists.parquet",
        folder / "work",
        moment=NOW,
        join=join,
        people_per_partition=per_partition,
    )
    rows = pq.read_table(folder / "lists.parquet").to_pylist()
    return {row["external_id"].removeprefix("b-"): (row["item_ids"], row["reason"]) for row in rows}, report


def item_lines(lines: Lines) -> list[dict[str, Any]]:
    return [
        {"input": {"itemId": item}, "output": {"recommendedItems": found}, "error": None}
        if isinstance(found, list)
        else {"input": {"itemId": item}, "output": {"recommendedItems": []}, "error": found}
        for item, found in lines
    ]


def merged(seeds: list[str], lines: dict[str, list[str] | str]) -> list[str]:
    """Take the first of each seed's list, then the second of each, and so on; as long as the longest of all lists."""
    mine = [found for seed in seeds if isinstance(found := lines.get(seed), list) and found]
    longest = max((len(found) for found in lines.values() if isinstance(found, list)), default=0)
    ranks = min(longest, math.ceil(2 * longest / max(1, len(mine))))
    by_rank = [found[rank] for rank in range(ranks) for found in mine if rank < len(found)]
    return list(dict.fromkeys(by_rank))[: min(longest, 6)]


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(USERS), st.lists(st.sampled_from(ITEMS), min_size=1, max_size=4, unique=True)
    ),
    st.dictionaries(
        st.sampled_from(ITEMS), st.lists(st.sampled_from(ITEMS), max_size=6, unique=True) | st.just("bad")
    ),
    st.integers(1, 9),
)
def test_a_persons_seeds_are_merged_by_rank(
    seeds: dict[str, list[str]], lines: dict[str, list[str] | str], at_once: int
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(joins, "_MERGED_ENTRIES", at_once)
        folder = Path(name)
        rows = [
            {"user_id": user, "item_id": item, "place": place}
            for user in sorted(seeds)
            for place, item in enumerate(seeds[user])
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=SEEDS), folder / "seeds.parquet")
        twice = [*lines.items(), *lines.items()]
        lists, report = made(item_lines(twice), by_seed(folder / "seeds.parquet"), folder)
    assert set(lists) == set(USERS)
    for user, (items, reason) in lists.items():
        known = [lines[seed] for seed in seeds.get(user, []) if seed in lines]
        assert items == merged(seeds.get(user, []), lines)
        if not items:
            failed = "bad" in known or len(known) < len(seeds.get(user, []))
            none = "no candidate, seed or segment leads to this person"
            few = "fewer than 1 items that may be mailed"
            assert reason == (FAILED if failed else few if known else none)
    open_ones = [reason for _, reason in lists.values() if reason == FAILED]
    assert (report.questions, report.answered) == (len(seeds), len(seeds) - len(open_ones))
    assert report.unanswered.total() == len(open_ones)


def test_two_different_lists_of_one_item_are_an_error(tmp_path: Path) -> None:
    seeds = [{"user_id": user, "item_id": "p1", "place": 0} for user in USERS]
    pq.write_table(pa.Table.from_pylist(seeds, schema=SEEDS), tmp_path / "seeds.parquet")
    lines = item_lines([("p1", ["p2"]), ("p1", ["p3"])])
    with pytest.raises(FatalError, match=r"^1 items have two different lists"):
        made(lines, by_seed(tmp_path / "seeds.parquet"), tmp_path)


def test_who_has_no_candidates_is_not_missing_from_the_output(tmp_path: Path) -> None:
    asked = tmp_path / "asked.parquet"
    pq.write_table(pa.table({"user_id": USERS[:3]}), asked)
    lines = [{"input": {"userId": user}, "output": {"recommendedItems": ["p1"]}} for user in USERS[:2]]
    lists, report = made(lines, by_some_users(asked), tmp_path)
    assert [lists[user][1] for user in USERS[1:4]] == ["", NO_LINE, NOT_ASKED]
    assert (report.questions, report.answered, dict(report.unanswered)) == (3, 2, {NO_LINE: 1})


def test_everybody_gets_the_only_line(tmp_path: Path) -> None:
    lists, report = made(item_lines([("everybody", ["p3", "unknown", "p1"])]), for_everybody, tmp_path)
    assert lists == {user: (["p3", "p1"], "") for user in USERS}
    assert (report.matched, report.dropped["not in the catalogue"]) == (len(USERS), len(USERS))


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
    assert (report.strangers, report.unreadable) == (1, 1)
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
