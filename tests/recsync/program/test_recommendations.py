from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from recsync.program import Recommendations


def policy(**fields: Any) -> Recommendations:
    return Recommendations.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"length": 3, "min_length": 4}, r"min_length \(4\) must not be above length \(3\)"),
        ({"rules": {"max_per_category": 2}}, "belong together"),
        ({"rules": {"category": "aisle"}}, "belong together"),
        (
            {"rules": {"max_per_category": 2, "category": "aisle", "max_per": {"aisle": 1}}},
            "name aisle more than once",
        ),
        ({"rules": {"distinct": ["name", "brand"], "max_per": {"name": 2}}}, "name name more than once"),
        ({"rules": {"max_per": {"aisle": 0}}}, "greater than or equal to 1"),
        ({"rules": {"min_score": "nan"}}, "finite number"),
        ({"fallback": ["popular", "popular"]}, "names a tier twice"),
        ({"max_age_days": 7}, r"keep_days \(7\) must be below max_age_days \(7\)"),
    ],
)
def test_policies_that_cannot_be_met_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        policy(**fields)


def test_only_what_is_asked_for_is_read_from_the_history() -> None:
    assert policy().history_days == 0
    assert policy(fallback=["popular"]).history_days == 30
    assert policy(rules={"not_bought_in_days": 90}, fallback=["popular"]).history_days == 90


def test_the_limits_of_a_value_are_in_the_order_in_which_a_dropped_item_counts() -> None:
    rules = policy(
        rules={"max_per": {"shelf": 3}, "distinct": ["name"], "max_per_category": 2, "category": "aisle"}
    ).rules
    assert [(limit.name, limit.column.column, limit.most) for limit in rules.limits] == [
        ("distinct.name", "name", 1),
        ("category", "aisle", 2),
        ("max_per.shelf", "shelf", 3),
    ]
    assert rules.limits[2].column.path == "recommendations.rules.max_per.shelf"


def test_the_items_of_a_share_are_counted_by_the_length() -> None:
    rules = {
        "promoted": {"column": "promo", "share": 0.3},
        "new_items_share": {"days": 7, "column": "since", "share": 0.25},
    }
    assert policy(length=10, rules=rules).shared_items == {"promoted": 3, "new_items_share": 2}


def test_lists_of_this_program_count_as_mailed_unless_others_are_named() -> None:
    alone = policy(rules={"not_mailed_in_days": 5}).rules.mailed("shop")
    others = policy(rules={"not_mailed_in_days": {"days": 3, "programs": ["a"]}}).rules.mailed("shop")
    assert alone is not None
    assert (alone.days, alone.programs) == (5, ("shop",))
    assert others is not None
    assert (others.days, others.programs) == (3, ("a",))
    assert policy().rules.mailed("shop") is None
