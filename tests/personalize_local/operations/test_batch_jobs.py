"""What batch jobs refuse before they begin: wrong recipes, paths, options and filters of other groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from personalize_local.resources import ACTIVE, SOLUTION_VERSION, Resource

ROLE = "arn:aws:iam::000000000000:role/PersonalizeRole"
ITEMS = {
    "type": "record",
    "name": "Items",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "TITLE", "type": ["null", "string"]},
        {"name": "PRICE", "type": ["null", "float"]},
    ],
}
THEMES = {"batchInferenceJobMode": "THEME_GENERATION"}


def themes(column: str) -> dict[str, Any]:
    return {**THEMES, "themeGenerationConfig": {"fieldsForThemeGeneration": {"itemName": column}}}


@pytest.fixture(scope="module")
def versions(world: Any, fast_server: Any) -> Callable[[str], str]:
    """Return a function that gives a version of a recipe; the rules look at what it is, not what it learnt."""
    group = world.group()
    world.dataset(group, ITEMS)
    world.dataset(group)
    made: dict[str, str] = {}

    def version(recipe: str) -> str:
        if recipe not in made:
            solution = world.solution(group, recipe)
            arn = f"{solution}/0123abcd"
            body = {
                "name": arn.rsplit("/", 1)[1],
                "solutionVersionArn": arn,
                "solutionArn": solution,
                "datasetGroupArn": group,
                "recipeArn": f"arn:aws:personalize:::recipe/{recipe}",
                "trainingMode": "FULL",
                "status": ACTIVE,
            }
            fast_server.service._store.insert(
                Resource(arn, SOLUTION_VERSION.noun, world.region, solution, body, {"tags": {}})
            )
            made[recipe] = arn
        return made[recipe]

    return version


@pytest.fixture
def params(world: Any) -> dict[str, Any]:
    """Return the parameters of a job that nothing is wrong with, but for its version."""
    return {
        "jobName": "refused",
        "jobInput": {"s3DataSource": {"path": f"s3://{world.bucket}/job-rules/in.json"}},
        "jobOutput": {"s3DataDestination": {"path": f"s3://{world.bucket}/job-rules/out/"}},
        "roleArn": ROLE,
    }


@pytest.mark.parametrize(
    ("recipe", "options", "text"),
    [
        ("aws-item-affinity", {}, "not supported by the recipe aws-item-affinity"),
        ("aws-item-attribute-affinity", {}, "not supported"),
        ("aws-trending-now", {}, "not supported by the recipe aws-trending-now"),
        ("aws-next-best-action", {}, "not supported"),
        ("aws-sims", themes("TITLE"), "THEME_GENERATION is not supported"),
        ("aws-similar-items", THEMES, "requires a themeGenerationConfig"),
        ("aws-similar-items", themes("PRICE"), "PRICE is not a string column"),
        ("aws-similar-items", themes("NONE"), "NONE is not a string column"),
        (
            "aws-similar-items",
            {**themes("TITLE"), "batchInferenceJobMode": "BATCH_INFERENCE"},
            "requires batchInferenceJobMode",
        ),
        (
            "aws-sims",
            {"batchInferenceJobConfig": {"rankingInfluence": {"POPULARITY": 0.5}}},
            "rankingInfluence is not supported",
        ),
        (
            "aws-semantic-similarity",
            {"batchInferenceJobConfig": {"rankingInfluence": {"POPULARITY": 1.5}}},
            "less than or equal to 1",
        ),
        (
            "aws-semantic-similarity",
            {"batchInferenceJobConfig": {"rankingInfluence": {"PRICE": 0.5}}},
            "enum",
        ),
        (
            "aws-user-personalization-v2",
            {"batchInferenceJobConfig": {"itemExplorationConfig": {"explorationWeight": "0.3"}}},
            "itemExplorationConfig is not supported",
        ),
        ("aws-sims", {"numResults": 0}, "at least 1"),
        ("aws-sims", {"jobOutput": {"s3DataDestination": {"path": "s3://bucket/file"}}}, "S3 output path"),
        ("aws-sims", {"jobInput": {"s3DataSource": {"path": "https://example.com/x"}}}, "S3 input path"),
    ],
)
def test_batch_inference_is_refused(
    world: Any,
    versions: Callable[[str], str],
    params: dict[str, Any],
    refused: Callable[..., Any],
    recipe: str,
    options: dict[str, Any],
    text: str,
) -> None:
    given = {**params, "solutionVersionArn": versions(recipe), **options}
    error = refused(world.personalize.create_batch_inference_job, **given)
    assert error.code == "InvalidInputException"
    assert text in error.message


@pytest.mark.parametrize(
    ("recipe", "options", "text"),
    [
        ("aws-sims", {}, "not supported by the recipe aws-sims"),
        ("aws-item-affinity", {"numResults": 5_000_001}, "at most 5000000"),
        ("aws-item-affinity", {"numResults": 0}, "at least 1"),
        ("aws-item-affinity", {"jobOutput": {"s3DataDestination": {"path": "s3://bucket/x"}}}, "output path"),
    ],
)
def test_batch_segments_are_refused(
    world: Any,
    versions: Callable[[str], str],
    params: dict[str, Any],
    refused: Callable[..., Any],
    recipe: str,
    options: dict[str, Any],
    text: str,
) -> None:
    given = {**params, "solutionVersionArn": versions(recipe), **options}
    error = refused(world.personalize.create_batch_segment_job, **given)
    assert error.code == "InvalidInputException"
    assert text in error.message


def test_a_filter_of_another_group_is_refused(
    world: Any, versions: Callable[[str], str], params: dict[str, Any], refused: Callable[..., Any]
) -> None:
    other = world.group()
    world.dataset(other)
    arn = world.personalize.create_filter(
        name=world.name("filter"),
        datasetGroupArn=other,
        filterExpression='EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")',
    )["filterArn"]
    world.wait("Filter", arn)
    calls = [
        (world.personalize.create_batch_inference_job, "aws-sims"),
        (world.personalize.create_batch_segment_job, "aws-item-affinity"),
    ]
    for call, recipe in calls:
        error = refused(call, **params, solutionVersionArn=versions(recipe), filterArn=arn)
        assert "does not belong to the dataset group" in error.message
