"""The section ``experiment``: what it says, and what is refused in it alone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from recsync.program import Experiment

TWO = {"mailed": {"share": 0.9, "gets": "champion"}, "holdout": {"share": 0.1, "gets": "nothing"}}


def experiment(**fields: Any) -> Experiment:
    return Experiment.model_validate({"name": "autumn", "arms": TWO, **fields})


def test_an_experiment_has_a_layer_and_a_control_by_default() -> None:
    found = experiment()
    assert found.layer_name == "autumn"
    assert found.control_arm == "holdout"
    assert found.held_out == ("holdout",)
    assert found.shares == {"mailed": 0.9, "holdout": 0.1}
    assert found.share == 1
    assert experiment(layer="mail").layer_name == "mail"


def test_the_control_is_the_arm_without_lists_then_popular_then_the_champion() -> None:
    arms: dict[str, Any] = {
        "a": {"share": 0.1, "gets": {"challenger": "sims"}},
        "b": {"share": 0.1, "gets": "champion"},
        "c": {"share": 0.1, "gets": "popular"},
        "d": {"share": 0.1, "gets": "nothing"},
    }
    assert experiment(arms=arms).control_arm == "d"
    del arms["d"]
    assert experiment(arms=arms).control_arm == "c"
    del arms["c"]
    assert experiment(arms=arms).control_arm == "b"
    assert experiment(arms=arms, control="a").control_arm == "a"


def test_arms_say_which_model_they_ask() -> None:
    arms = {
        "own": {"share": 0.5, "gets": "champion"},
        "sims": {"share": 0.2, "gets": {"challenger": "sims"}},
        "wine": {"share": 0.2, "gets": {"program": "wine"}},
    }
    found = experiment(arms=arms)
    assert list(found.models) == ["sims", "wine"]
    assert [arm.label for arm in found.arms.values()] == ["champion", "challenger sims", "program wine"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "Autumn 2026"}, "write autumn_2026"),
        ({"name": "_autumn"}, "must be at most 32"),
        ({"arms": {"all": {"share": 1, "gets": "champion"}}}, "at least two arms"),
        ({"arms": {**TWO, "more": {"share": 0.1, "gets": "popular"}}}, "the shares are 1.1 together"),
        ({"arms": {**TWO, "B-2": {"share": 0.01, "gets": "popular"}}}, "write b_2"),
        ({"arms": {"a": {"share": 0.00001, "gets": "champion"}, **TWO}}, "greater than or equal to 0.0001"),
        ({"arms": {name: {**arm, "gets": "nothing"} for name, arm in TWO.items()}}, "every arm gets nothing"),
        ({"control": "hold_out"}, "there is no arm hold_out; there are mailed, holdout"),
        ({"guardrails": {"conversion": 0.1}}, "is what the experiment is about"),
        ({"guardrails": {"unsubscribe": 0}}, "greater than 0"),
        (
            {"arms": {"a": {"share": 0.1, "gets": {"challenger": "x", "program": "y"}}, **TWO}},
            "either challenger, a name of personalize.challengers, or program",
        ),
        (
            {"arms": {name: {"share": 0.1, "gets": {"challenger": name}} for name in ("a", "b")}},
            "name the arm that the others are compared with",
        ),
    ],
)
def test_what_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        experiment(**fields)


def test_three_thirds_are_no_more_than_one() -> None:
    arms = {name: {"share": 1 / 3, "gets": "champion"} for name in "abc"}
    assert experiment(arms=arms).share == 1
