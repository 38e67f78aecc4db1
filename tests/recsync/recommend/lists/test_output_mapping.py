"""Lists from outputs that are not about people: related items, one list for all; against the obvious way."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from list_kit import ITEMS, USERS, Lines, made

from recsync.errors import FatalError
from recsync.recommend.lists import output_mapping
from recsync.recommend.lists.list_partition import FAILED, NO_LINE, NOT_ASKED
from recsync.recommend.lists.output_mapping import SEEDS, by_seed, by_some_users, for_everybody


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
        patch.setattr(output_mapping, "_MERGED_ENTRIES", at_once)
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
