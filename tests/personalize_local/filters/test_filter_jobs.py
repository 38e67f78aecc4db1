"""Every documented filter through a real batch job, and what lines of a job may differ in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from documented_filters import OF_RELATED_ITEMS, OF_SEGMENTS, OF_USERS, Documented, has
from filter_shop import ROWS

Row = dict[str, Any]


def items(entry: Row) -> set[str]:
    assert entry["error"] is None
    assert len(entry["output"]["scores"]) == len(entry["output"]["recommendedItems"])
    return set(entry["output"]["recommendedItems"])


def where(test: Callable[[Row], bool]) -> set[str]:
    return {row["ITEM_ID"] for row in ROWS.items if test(row)}


def below(row: Row, field: str, most: float) -> bool:
    return row[field] is not None and row[field] < most


def check(case: Documented, entries: list[Row], member: str) -> None:
    """Assert that each line gave exactly what it should, nothing twice, and that the filter did something."""
    for line, entry in zip(case.lines, entries, strict=True):
        assert (entry["input"], entry.get("error")) == (line, None)
        found = entry["output"][member]
        assert (line, sorted(found)) == (line, sorted(case.expected(line)))
    sizes = {len(case.expected(line)) for line in case.lines}
    assert max(sizes) > 0
    assert min(sizes) < (60 if member == "recommendedUsers" else 49)


@pytest.mark.parametrize("case", OF_USERS, ids=lambda case: case.number)
def test_a_documented_filter_of_items_leaves_what_it_says(
    run_job: Callable[..., list[Row]], case: Documented
) -> None:
    entries = run_job("aws-user-personalization", case.expression, list(case.lines))
    check(case, entries, "recommendedItems")
    assert [len(items(entry)) for entry in entries] == [len(case.expected(line)) for line in case.lines]


@pytest.mark.parametrize("recipe", ["aws-sims", "aws-similar-items"])
@pytest.mark.parametrize("case", OF_RELATED_ITEMS, ids=lambda case: case.number)
def test_a_documented_filter_of_related_items_leaves_what_it_says(
    run_job: Callable[..., list[Row]], recipe: str, case: Documented
) -> None:
    check(case, run_job(recipe, case.expression, list(case.lines)), "recommendedItems")


@pytest.mark.parametrize("case", OF_SEGMENTS, ids=lambda case: case.number)
def test_a_documented_filter_of_users_leaves_what_it_says(
    run_job: Callable[..., list[Row]], case: Documented
) -> None:
    check(case, run_job("aws-item-affinity", case.expression, list(case.lines)), "recommendedUsers")


def test_each_line_has_values_and_a_history_of_its_own(run_filtered: Callable[..., Any]) -> None:
    found = run_filtered(
        "INCLUDE ItemID WHERE Items.GENRE IN ($G) | EXCLUDE ItemID WHERE Items.PRICE < $LEAST | "
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("purchase")',
        {"userId": "u1", "filterValues": {"G": '"drama","comedy"', "LEAST": "40"}},
        {"userId": "u2", "filterValues": {"G": '"drama"', "LEAST": '"40"'}},
        {"userId": "u3", "filterValues": {"G": '"drama"'}},
        {"userId": "u4", "filterValues": {"LEAST": "40"}},
        {"userId": "u5", "filterValues": {"G": '"drama"', "LEAST": '"much"'}},
        {"userId": "u6", "filterValues": {"G": "drama", "LEAST": "40"}},
        {"userId": "u7"},
    )
    drama, comedy = (where(lambda row, g=genre: has(row, "GENRE", g)) for genre in ("drama", "comedy"))
    upper = where(lambda row: not below(row, "PRICE", 40))
    assert items(found["u1"]) == (drama | comedy) & upper - ROWS.done("u1", "Purchase")
    assert items(found["u2"]) == drama & upper - ROWS.done("u2", "Purchase")
    # An EXCLUDE without its value does nothing; an INCLUDE without its value fails the line, and only the line.
    assert items(found["u3"]) == drama - ROWS.done("u3", "Purchase")
    failed = {"u4": "G", "u5": "one number", "u6": "double quotes", "u7": "G"}
    for user, reason in failed.items():
        assert reason in found[user]["error"]
        assert found[user]["output"] == {"recommendedItems": []}


def test_a_list_is_filled_up_to_num_results(run_filtered: Callable[..., Any]) -> None:
    entry = run_filtered('EXCLUDE ItemID WHERE Items.GENRE IN ("drama")', {"userId": "u2"}, numResults=20)[
        "u2"
    ]
    assert len(items(entry)) == 20
    scores = entry["output"]["scores"]
    assert scores == sorted(scores, reverse=True)
