"""A solution's settings: what is refused, what is sent, and which of them make another solution."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from recsync.program import DatasetType, Program, Solution, names, parse_program
from recsync.program.avro import AvroSchema
from recsync.program.hpo import found_by, hpo_config
from recsync.program.recipes import RECIPES
from recsync.program.schema_rules import solution_schema_problems
from recsync.training.solutions import own, searching, trained_by_full

V1, V2 = "aws-user-personalization", "aws-user-personalization-v2"
_ITEMS = {
    "type": "record",
    "name": "Items",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "MARGIN", "type": "float"},
        {"name": "PRICE", "type": ["null", "float"]},
        {"name": "LABEL", "type": "string"},
    ],
}


def program(name: str = "shop", /, *, more: dict[str, Any] | None = None, **personalize: Any) -> Program:
    content = {"braze": {"attribute": "recs"}, "datasets": {"items": {}}, "personalize": personalize}
    return parse_program(name, content | (more or {}))


@pytest.mark.parametrize(
    ("personalize", "expected"),
    [
        (
            {"recipe": V2, "optimization_objective": {"item_attribute": "MARGIN"}},
            "optimization_objective: only aws-personalized-ranking, aws-user-personalization can",
        ),
        (
            {"excluded_columns": {"items": ["PRICE"]}, "included_columns": {"items": ["MARGIN"]}},
            "included_columns: excluded_columns is given too; use one of them",
        ),
        ({"excluded_columns": {"interactions": ["EVENT_TYPE"]}}, "EVENT_TYPE cannot be excluded"),
        ({"excluded_columns": {"users": ["AGE"]}}, "the program has no datasets.users"),
        ({"excluded_columns": {"carts": ["AGE"]}}, "'interactions', 'users' or 'items'"),
        (
            {"recipe": V2, "tuning": {}},
            f"tuning: {V2} has no hyperparameter optimisation; remove it or use aws-p",
        ),
        (
            {"tuning": {"ranges": {"bptt": [2, 64]}}},
            "ranges: bptt is 64, must be a whole number from 2 to 32",
        ),
        ({"tuning": {"ranges": {"bptt": [20, 4]}}}, "ranges: bptt needs its lowest and its highest value"),
        (
            {"tuning": {"ranges": {"recency_mask": ["maybe"]}}},
            "recency_mask is 'maybe', must be True or False",
        ),
        (
            {"tuning": {"ranges": {"depth": [1, 2]}}},
            f"{V1} cannot search depth; it can search bptt, hidden_dim",
        ),
        (
            {"hyperparameters": {"bptt": 8}, "tuning": {"ranges": {"bptt": [2, 8]}}},
            "bptt is fixed in hyperparameters; remove it there or here",
        ),
        (
            {"hyperparameters": {"bptt": 8, "hidden_dimension": 64, "recency_mask": True}, "tuning": {}},
            "hyperparameters fixes all that could be searched",
        ),
        ({"promote_best": True}, "promote_best: there are no challengers"),
        ({"challengers": {"rival": {"recipe": V1}}}, "rival: is the same as the program's own solution"),
        (
            {"challengers": {"a": {"recipe": V2}, "b": {"recipe": V2}}},
            "challengers.b: is the same as the challenger a",
        ),
        (
            {"challengers": {"rival": {"recipe": "aws-sims"}}},
            f"aws-sims answers another question than {V1}; a challenger must be one of aws-popularity-count",
        ),
        (
            {"challengers": {"rival": {"recipe": V2, "hyperparameters": {"bptt": 8}}}},
            f"challengers.rival.hyperparameters: {V2} has no hyperparameter bptt",
        ),
        (
            {
                "baseline_recipe": "aws-popularity-count",
                "challengers": {"p": {"recipe": "aws-popularity-count"}},
            },
            "p: is the same as baseline_recipe",
        ),
        ({"challengers": {"rival": {}}}, "recipe: Field required"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(personalize: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        program(**personalize)
    told = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in caught.value.errors()]
    assert any(expected in line for line in told), told


def test_a_schedule_without_a_tuning_is_refused() -> None:
    with pytest.raises(ValidationError, match="there is nothing to search"):
        program(more={"schedules": {"tune": "0 4 1 * *"}})


def test_a_challengers_events_must_be_exported() -> None:
    weighs = {"recipe": V2, "event_weights": {"view": 0.1}}
    with pytest.raises(ValidationError, match=r"personalize\.challengers\.rival\.event_weights names view"):
        program(challengers={"rival": weighs}, more={"events": {"types": {"buy": None}}})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"excluded_columns": {"items": ["COLOUR"]}},
            ["names COLOUR; the schema has ITEM_ID"],
        ),
        (
            {"included_columns": {"items": ["LABEL"]}},
            ["names LABEL, which is neither categ"],
        ),
        (
            {"optimization_objective": {"item_attribute": "PRICE"}},
            ["must be a numeric column without nulls; there are MARGIN"],
        ),
        (
            {
                "excluded_columns": {"items": ["LABEL"]},
                "optimization_objective": {"item_attribute": "MARGIN"},
            },
            [],
        ),
    ],
)
def test_columns_are_looked_up_in_the_schema(settings: dict[str, Any], expected: list[str]) -> None:
    schema = AvroSchema.parse(json.dumps(_ITEMS), DatasetType.ITEMS)
    solution = Solution.model_validate(settings)
    found = [problem.text for problem in solution_schema_problems(solution, DatasetType.ITEMS, schema)]
    assert len(found) == len(expected)
    assert all(part in text for part, text in zip(expected, found, strict=True))


def test_settings_reach_the_service_as_it_spells_them() -> None:
    shop = program(
        excluded_columns={"items": ["PRICE"]},
        optimization_objective={"item_attribute": "MARGIN", "sensitivity": "LOW"},
    )
    assert shop.personalize.solution_config == {
        "trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": ["PRICE"]}},
        "optimizationObjective": {"itemAttribute": "MARGIN", "objectiveSensitivity": "LOW"},
    }


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


@pytest.mark.parametrize("name", ["shop", "s" * 32])
def test_every_name_fits_and_tells_its_recipe(name: str) -> None:
    shop = program(name)
    found = set()
    for recipe in RECIPES:
        for settings in ({}, {"eventType": "buy"}):
            solution = names.solution_name(shop, recipe, settings)
            assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,62}", solution)
            arn = f"arn:aws:personalize:eu-west-1:123456789012:solution/{solution}/0a1b2c3d"
            assert names.recipe_of_version(shop, arn) == recipe
            found.add(solution)
    assert len(found) == 2 * len(RECIPES)
    assert names.recipe_of_version(shop, f"arn:x:solution/{name}-user-personalization-mine/0a1b2c3d") is None


def test_pins_are_used_by_the_own_solution_alone_and_the_file_goes_before() -> None:
    shop = program(
        hyperparameters={"bptt": 8},
        challengers={"rival": {"recipe": V1, "event_type": "buy"}},
    )
    specs = trained_by_full(shop, {"bptt": "30", "hidden_dimension": "64"})
    assert specs[""].config == {"algorithmHyperParameters": {"bptt": "8", "hidden_dimension": "64"}}
    assert specs["challenger_rival_"].config == {}
    assert set(specs) == {"", "challenger_rival_"}


def test_everything_not_fixed_is_searched_over_explicit_ranges() -> None:
    shop = program(hyperparameters={"hidden_dimension": 64}, tuning={"max_training_jobs": 3})
    assert shop.personalize.tuning is not None
    assert hpo_config(shop.personalize, shop.personalize.tuning) == {
        "algorithmHyperParameterRanges": {
            "integerHyperParameterRanges": [{"name": "bptt", "minValue": 2, "maxValue": 32}],
            "continuousHyperParameterRanges": [],
            "categoricalHyperParameterRanges": [{"name": "recency_mask", "values": ["True", "False"]}],
        },
        "hpoResourceConfig": {"maxNumberOfTrainingJobs": "3", "maxParallelTrainingJobs": "3"},
    }


def test_winners_are_taken_without_their_prefixes_and_only_where_they_can_be_given() -> None:
    tuned = {"training.bptt": "7", "data.recency_mask": "true", "hidden_dimension": "91", "seed": "3"}
    assert found_by(RECIPES[V1], tuned) == {"bptt": "7", "recency_mask": "True", "hidden_dimension": "91"}


def test_a_job_is_asked_as_the_champions_recipe_wants_it() -> None:
    asked = program(recipe=V2, challengers={"rival": {"recipe": V1}}).personalize
    assert asked.job_config is None
    assert asked.job_config_of(RECIPES[V1]) == {
        "itemExplorationConfig": {"explorationWeight": "0.3", "explorationItemAgeCutOff": "30"}
    }
