"""What is refused in the settings of a solution, its challengers and its tuning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from recsync.program import DatasetType, Program, Solution
from recsync.program.avro import AvroSchema
from recsync.program.parse import parse_program
from recsync.program.solution_rules import solution_schema_problems

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
