"""What recipes and other programs forbid in an experiment."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from recsync.program import Program
from recsync.program.experiment_rules import problems_between
from recsync.program.parse import parse_program

HOLDOUT = {"share": 0.1, "gets": "nothing"}


def program(
    name: str = "shop",
    /,
    *,
    arm: Any = "champion",
    share: float = 0.5,
    more: dict[str, Any] | None = None,
    **fields: Any,
) -> Program:
    section = {
        "name": "autumn",
        "arms": {"tried": {"share": share, "gets": arm}, "holdout": HOLDOUT},
        **fields,
    }
    content = {"braze": {"attribute": f"recs_{name}"}, "experiment": section, **(more or {})}
    return parse_program(name, content)


def recipe(name: str, **more: Any) -> dict[str, Any]:
    return {"personalize": {"recipe": name}, **more}


@pytest.mark.parametrize(
    ("arm", "more", "text"),
    [
        (
            "champion",
            recipe("aws-item-affinity", recommendations={"min_length": 1}),
            "selects the people itself",
        ),
        ("popular", recipe("aws-popularity-count"), "gives everybody popular items already"),
        (
            "popular",
            recipe("aws-next-best-action", datasets={"actions": {}, "action_interactions": {}}),
            "the lists hold actions",
        ),
        ({"challenger": "sims"}, {}, "is not in personalize.challengers; it has none"),
        (
            {"challenger": "sims"},
            {"personalize": {"challengers": {"simz": {"recipe": "aws-user-personalization-v2"}}}},
            "it has simz; did you mean simz",
        ),
        ({"program": "shop"}, {}, "is this program itself; write gets: champion"),
        ({"program": "wine"}, recipe("aws-trending-now"), "a run has one campaign only"),
    ],
)
def test_what_a_program_alone_shows(arm: Any, more: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        program(arm=arm, more=more)


def test_popular_items_may_be_compared_with_nothing() -> None:
    assert program(more=recipe("aws-popularity-count")).experiment
    assert program(more=recipe("aws-trending-now")).experiment


def test_an_attribute_of_the_arm_needs_an_experiment() -> None:
    braze = {"attribute": "recs", "attributes": [{"name": "recs_arm", "from": "arm"}]}
    assert program(more={"braze": braze}).braze.attribute_names == ["recs", "recs_arm"]
    with pytest.raises(ValidationError, match="the program has no experiment"):
        parse_program("shop", {"braze": braze})


def test_outcomes_are_needed_with_an_experiment_only() -> None:
    name = "sql/shop/outcomes.sql"
    assert program().named_files()[name] == ("experiment",)
    assert name not in parse_program("shop", {"braze": {"attribute": "recs"}}).named_files()


def between(*programs: Program, missing: str = "") -> dict[str, list[str]]:
    sound = {each.name: each for each in programs}
    found = problems_between(sound, [*sound, *filter(None, [missing])])
    return {name: [f"{'.'.join(map(str, p.field))}: {p.text}" for p in each] for name, each in found.items()}


def test_programs_of_one_layer_share_the_people() -> None:
    wine = program("wine", name="winter", layer="mail", share=0.3)
    assert between(program(layer="mail", share=0.5), wine) == {}
    found = between(program(layer="mail", share=0.6), wine)
    assert list(found) == ["shop", "wine"]
    for texts in found.values():
        assert len(texts) == 1
        assert texts[0].startswith("experiment.arms: ")
        assert "ask for 1.1 of the people together (shop 0.7, wine 0.4)" in texts[0]
    assert between(program(share=0.9), program("wine", name="winter", share=0.9)) == {}, "different layers"


def test_one_program_runs_an_experiment() -> None:
    found = between(program(), program("wine"))
    assert "wine.yaml has the same experiment" in found["shop"][0]
    assert "shop.yaml has the same experiment" in found["wine"][0]


def test_a_layer_is_in_one_bucket() -> None:
    other = program("wine", name="winter", layer="mail", share=0.1, more={"bucket": "wine-bucket"})
    assert "a layer is kept in one bucket" in between(program(layer="mail"), other)["wine"][0]


def plain(name: str, **fields: Any) -> Program:
    return parse_program(name, {"braze": {"attribute": f"recs_{name}"}, **fields})


def test_the_program_of_an_arm_answers_the_same_question() -> None:
    asking = program(arm={"program": "wine"})
    assert between(asking, plain("wine")) == {}
    assert between(asking, missing="wine") == {}, "a broken file: its own problems are listed"
    (text,) = between(asking)["shop"]
    assert text.startswith("experiment.arms.tried.gets.program: there is no include/programs/wine.yaml")
    (text,) = between(asking, plain("wine", personalize={"recipe": "aws-sims"}))["shop"]
    assert "needs another kind of input" in text
    (text,) = between(asking, plain("wine", aws="aws_wine"))["shop"]
    assert "another account" in text
    filtered = program(
        arm={"program": "wine"},
        more={
            "filters": {
                "recommend": {"expression": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")'}
            }
        },
    )
    (text,) = between(filtered, plain("wine"))["shop"]
    assert "belongs to the dataset group of this program" in text


def test_a_program_with_the_same_champion_is_nothing_to_compare_with() -> None:
    owner = {"braze": {"attribute": "recs_shop"}}
    shop = program(arm={"program": "wine"})
    wine = parse_program(
        "wine",
        {"braze": {"attribute": "recs_wine"}, "data": "shop", "personalize": {"model": "shop"}},
        lambda name: (owner, lambda: shop),
    )
    (text,) = between(shop, wine)["shop"]
    assert "there is nothing to compare" in text


def test_the_gate_cannot_ask_an_experiment_that_is_not_there() -> None:
    with pytest.raises(ValidationError, match="asks the experiment of the program, which has none"):
        program(more={"gate": {"online": {}}, "experiment": None})
    assert program(more={"gate": {"online": {}}}).gate.online is not None
