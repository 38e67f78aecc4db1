"""A solution's settings: what is refused, and what is sent."""

from __future__ import annotations

import re
from typing import Any

import pytest

from recsync.program import Program, names
from recsync.program.parse import parse_program
from recsync.program.personalize import found_by, hpo_config
from recsync.program.recipes import RECIPES

V1, V2 = "aws-user-personalization", "aws-user-personalization-v2"


def program(name: str = "shop", /, *, more: dict[str, Any] | None = None, **personalize: Any) -> Program:
    content = {"braze": {"attribute": "recs"}, "datasets": {"items": {}}, "personalize": personalize}
    return parse_program(name, content | (more or {}))


def test_settings_reach_the_service_as_it_spells_them() -> None:
    shop = program(
        excluded_columns={"items": ["PRICE"]},
        optimization_objective={"item_attribute": "MARGIN", "sensitivity": "LOW"},
    )
    assert shop.personalize.solution_config == {
        "trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": ["PRICE"]}},
        "optimizationObjective": {"itemAttribute": "MARGIN", "objectiveSensitivity": "LOW"},
    }


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
