"""Which settings make another solution, and where pinned hyperparameters are used."""

from __future__ import annotations

from typing import Any

from recsync.program import Program
from recsync.program.parse import parse_program
from recsync.training.solutions import compared_prefixes, own, searching, trained_by_full

V1, V2 = "aws-user-personalization", "aws-user-personalization-v2"


def program(**personalize: Any) -> Program:
    content = {"braze": {"attribute": "recs"}, "datasets": {"items": {}}, "personalize": personalize}
    return parse_program("shop", content)


def test_other_settings_make_another_solution_and_other_weights_do_not() -> None:
    plain = own(program(), {}).name
    others = [
        {"event_type": "buy"},
        {"hyperparameters": {"bptt": 8}},
        {"hyperparameters": {"bptt": 9}},
        {"excluded_columns": {"items": ["PRICE"]}},
        {"optimization_objective": {"item_attribute": "MARGIN"}},
        {"tuning": {}},
    ]
    named = [plain, *(own(program(**settings), {}).name for settings in others)]
    assert plain == "shop-user-personalization"
    assert len(set(named[:-1])) == len(named) - 1
    assert named[-1] == plain, "a tuning is another solution, not another setting of the program's own"
    assert searching(program(tuning={})).name not in named
    weights = [
        own(program(recipe=V2, event_weights=w), {}).name for w in ({"buy": 1}, {"buy": 0.5, "view": 1})
    ]
    assert weights[0] == weights[1] != own(program(recipe=V2), {}).name


def test_a_challenger_that_becomes_the_programs_own_is_the_same_solution() -> None:
    rival = {"recipe": V2, "hyperparameters": {"apply_recency_bias": False}}
    before, after = program(challengers={"rival": rival}), program(**rival)
    assert trained_by_full(before, {})["challenger_rival_"] == own(after, {})


def test_pins_are_used_by_the_own_solution_alone_and_the_file_goes_before() -> None:
    shop = program(
        hyperparameters={"bptt": 8},
        challengers={"rival": {"recipe": V1, "event_type": "buy"}},
    )
    specs = trained_by_full(shop, {"bptt": "30", "hidden_dimension": "64"})
    assert specs[""].config == {"algorithmHyperParameters": {"bptt": "8", "hidden_dimension": "64"}}
    assert specs["challenger_rival_"].config == {}
    assert set(specs) == {"", "challenger_rival_"}


def test_the_own_solution_comes_first_among_the_compared_ones() -> None:
    shop = program(
        challengers={"rival": {"recipe": V1, "event_type": "buy"}}, baseline_recipe="aws-popularity-count"
    )
    assert list(compared_prefixes(shop).items()) == [("", ""), ("rival", "challenger_rival_")]
