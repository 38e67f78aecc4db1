"""What a solution may ask for, recipe by recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from personalize_local.recipes import ALGORITHM_PARAMETERS, FEATURE_PARAMETERS

ITEMS = {
    "type": "record",
    "name": "Items",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "CATEGORY", "type": ["null", "string"], "categorical": True},
        {"name": "PRICE", "type": "float"},
        {"name": "MARGIN", "type": ["null", "float"]},
    ],
}
UP, UP2, SIMS = "aws-user-personalization", "aws-user-personalization-v2", "aws-sims"
EVENTS = {"eventParametersList": [{"eventType": "buy", "weight": 0.9}, {"eventType": "view", "weight": 0.1}]}


def ranges(**given: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "hpoConfig": {
            "algorithmHyperParameterRanges": {f"{k}HyperParameterRanges": v for k, v in given.items()}
        }
    }


def resources(**given: str) -> dict[str, Any]:
    return {"hpoConfig": {"hpoResourceConfig": given}}


def columns(**given: dict[str, list[str]]) -> dict[str, Any]:
    return {"trainingDataConfig": {f"{key}DatasetColumns": value for key, value in given.items()}}


@pytest.fixture(scope="module")
def group(world: Any) -> str:
    """Return a dataset group with an Items dataset, and quotas enough for this module."""
    arn = str(world.group())
    world.dataset(arn, ITEMS)
    return arn


@pytest.fixture
def create(world: Any, group: str) -> Any:
    """Return a function that creates a solution from its config; the solution is gone after the test."""
    made: list[str] = []

    def call(recipe: str, config: dict[str, Any], **options: Any) -> dict[str, Any]:
        arn = world.personalize.create_solution(
            name=world.name("solution"),
            datasetGroupArn=group,
            recipeArn=f"arn:aws:personalize:::recipe/{recipe}",
            solutionConfig=config,
            **options,
        )["solutionArn"]
        made.append(arn)
        return dict(world.wait("Solution", arn))

    yield call
    for arn in made:
        world.personalize.delete_solution(solutionArn=arn)
    world.wait_gone(
        lambda: [
            s
            for s in world.personalize.list_solutions(datasetGroupArn=group)["solutions"]
            if s["solutionArn"] in made
        ]
    )


@pytest.mark.parametrize(
    ("recipe", "config", "options"),
    [
        (UP2, {"eventsConfig": EVENTS}, {}),
        ("aws-personalized-ranking-v2", {"eventsConfig": EVENTS}, {}),
        (UP2, {"algorithmHyperParameters": {"apply_recency_bias": "false"}}, {}),
        (UP, {"optimizationObjective": {"itemAttribute": "PRICE", "objectiveSensitivity": "LOW"}}, {}),
        (
            UP,
            {
                "hpoConfig": {
                    "hpoResourceConfig": {"maxNumberOfTrainingJobs": "40", "maxParallelTrainingJobs": "10"},
                    "algorithmHyperParameterRanges": {
                        "integerHyperParameterRanges": [{"name": "bptt", "minValue": 20, "maxValue": 30}],
                        "continuousHyperParameterRanges": [],
                        "categoricalHyperParameterRanges": [{"name": "recency_mask", "values": ["true"]}],
                    },
                }
            },
            {"performHPO": True},
        ),
        (SIMS, {}, {"performHPO": True}),
        ("aws-trending-now", {"featureTransformationParameters": {"trend_discovery_frequency": "1 day"}}, {}),
        ("aws-next-best-action", {"algorithmHyperParameters": {"action_optimization_period": "7"}}, {}),
        (UP, columns(excluded={"ITEMS": ["CATEGORY"]}), {}),
        (UP, columns(included={"items": ["PRICE"]}), {}),
        (UP, {"eventValueThreshold": "3.5"}, {"eventType": "buy"}),
        ("aws-semantic-similarity", {}, {"performIncrementalUpdate": True}),
        (UP, {"autoTrainingConfig": {"schedulingExpression": "rate(1 day)"}}, {}),
    ],
)
def test_what_the_service_takes_is_taken_and_read_back(
    create: Callable[..., Any], recipe: str, config: dict[str, Any], options: dict[str, Any]
) -> None:
    solution = create(recipe, config, **options)
    assert solution["status"] == "ACTIVE"
    assert solution["solutionConfig"] == config
    for member, value in options.items():
        assert solution[member] == value


@pytest.mark.parametrize(
    ("recipe", "config", "text"),
    [
        (UP, {"eventsConfig": EVENTS}, "eventsConfig is not supported"),
        (UP2, {"eventsConfig": {"eventParametersList": []}}, "at least one"),
        (UP2, {"eventsConfig": {"eventParametersList": [{"eventType": "a", "weight": 1.5}]}}, "weight"),
        (
            UP2,
            {"eventsConfig": {"eventParametersList": [{"eventType": "a"}, {"eventType": "A"}]}},
            "only once",
        ),
        (
            UP2,
            {"optimizationObjective": {"itemAttribute": "PRICE"}},
            "optimizationObjective is not supported",
        ),
        (UP, {"optimizationObjective": {"itemAttribute": "MARGIN"}}, "MARGIN is not a numeric column"),
        (UP, {"optimizationObjective": {"itemAttribute": "CATEGORY"}}, "CATEGORY is not a numeric column"),
        (UP, {"optimizationObjective": {"objectiveSensitivity": "LOW"}}, "itemAttribute"),
        (UP2, resources(maxNumberOfTrainingJobs="1"), "hpoConfig is not supported"),
        (UP, resources(maxNumberOfTrainingJobs="41"), "1 to 40"),
        (UP, resources(maxParallelTrainingJobs="many"), "1 to 10"),
        (UP, {"hpoConfig": {"hpoObjective": {"type": "max"}}}, "hpoObjective"),
        (UP, ranges(integer=[{"name": "magic", "minValue": 1, "maxValue": 2}]), "magic"),
        (UP, ranges(continuous=[{"name": "bptt", "minValue": 2, "maxValue": 3}]), "continuous"),
        (UP, ranges(integer=[{"name": "bptt", "minValue": 2, "maxValue": 33}]), "[2, 32]"),
        (UP, ranges(integer=[{"name": "bptt", "minValue": 20, "maxValue": 10}]), "above its maxValue"),
        (UP, ranges(integer=[{"name": "bptt", "minValue": 2}]), "needs minValue and maxValue"),
        (UP, ranges(categorical=[{"name": "recency_mask", "values": ["perhaps"]}]), "recency_mask"),
        (UP, ranges(categorical=[{"name": "recency_mask"}]), "no values"),
        (UP, columns(excluded={"INTERACTIONS": ["EVENT_TYPE"]}), "EVENT_TYPE"),
        (UP, columns(excluded={"ITEMS": ["NONE"]}), "no column NONE"),
        (UP, columns(excluded={"THINGS": ["A"]}), "THINGS"),
        (UP, columns(excluded={"ITEMS": ["PRICE"]}, included={"ITEMS": ["PRICE"]}), "not both"),
        (
            "aws-trending-now",
            {"featureTransformationParameters": {"trend_discovery_frequency": "5 hours"}},
            "1 day",
        ),
        (
            "aws-next-best-action",
            {"algorithmHyperParameters": {"action_optimization_period": "6"}},
            "[7, 28]",
        ),
        (UP, {"autoTrainingConfig": {"schedulingExpression": "cron(1 day)"}}, "regular expression"),
        (UP, {"autoTrainingConfig": {"schedulingExpression": "rate(0 days)"}}, "between 1 and 30"),
        (UP, {"algorithmHyperParameters": {"recency_mask": "maybe"}}, "recency_mask"),
    ],
)
def test_what_the_service_refuses_is_refused(
    create: Callable[..., Any], refused: Callable[..., Any], recipe: str, config: dict[str, Any], text: str
) -> None:
    error = refused(create, recipe=recipe, config=config)
    assert error.code == "InvalidInputException"
    assert text in error.message


@pytest.mark.parametrize(
    ("recipe", "options", "text"),
    [
        (UP2, {"performHPO": True}, "performHPO is not supported"),
        (UP, {"performIncrementalUpdate": True}, "aws-semantic-similarity"),
        ("aws-hrnn-coldstart", {}, "closed to new solutions"),
        (UP2, {"eventType": "buy"}, "not both"),
    ],
)
def test_options_are_checked_against_the_recipe(
    create: Callable[..., Any], refused: Callable[..., Any], recipe: str, options: dict[str, Any], text: str
) -> None:
    config = {"eventsConfig": EVENTS} if "eventType" in options else {}
    error = refused(create, recipe=recipe, config=config, **options)
    assert error.code == "InvalidInputException"
    assert text in error.message


def test_algorithms_tell_the_defaults_and_ranges_of_their_recipes(world: Any) -> None:
    personalize = world.personalize
    for entry in personalize.list_recipes()["recipes"]:
        recipe = personalize.describe_recipe(recipeArn=entry["recipeArn"])["recipe"]
        algorithm = personalize.describe_algorithm(algorithmArn=recipe["algorithmArn"])["algorithm"]
        assert algorithm["algorithmArn"].endswith(algorithm["name"])
        defaults = {each.name: each.default for each in ALGORITHM_PARAMETERS.get(entry["name"], ())}
        assert algorithm["defaultHyperParameters"] == defaults
        arn = recipe["featureTransformationArn"]
        found = personalize.describe_feature_transformation(featureTransformationArn=arn)[
            "featureTransformation"
        ]
        defaults = {each.name: each.default for each in FEATURE_PARAMETERS.get(entry["name"], ())}
        assert found["defaultParameters"] == defaults
    ranged = personalize.describe_algorithm(algorithmArn=f"arn:aws:personalize:::algorithm/{UP}")["algorithm"]
    assert ranged["defaultHyperParameterRanges"]["integerHyperParameterRanges"] == [
        {"name": "hidden_dimension", "isTunable": True, "minValue": 32, "maxValue": 256},
        {"name": "bptt", "isTunable": True, "minValue": 2, "maxValue": 32},
    ]


def test_every_default_is_in_its_own_range() -> None:
    for parameters in (*ALGORITHM_PARAMETERS.values(), *FEATURE_PARAMETERS.values()):
        for parameter in parameters:
            parameter.check(parameter.default)
