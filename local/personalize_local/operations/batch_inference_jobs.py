"""Start batch inference. Batch jobs cannot be deleted: a job name can be used once, for ever.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchInferenceJob.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.datasets.avro import DatasetSchema
from personalize_local.errors import already_exists, invalid_input
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.operations.common import create, find_active, operations_of
from personalize_local.operations.job_rules import check_filter, check_paths, number_of_results
from personalize_local.recipe_parameters import number_in
from personalize_local.recipes import Recipe, get_recipe
from personalize_local.resources import BATCH_INFERENCE_JOB, SOLUTION_VERSION, Resource

_THEMES = "THEME_GENERATION"


def create_batch_inference_job(context: Context, params: Params) -> dict[str, Any]:
    """Start a batch inference job on an ACTIVE solution version."""
    arn = context.arn(f"{BATCH_INFERENCE_JOB.tail}/{params['jobName']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    version = find_active(context, SOLUTION_VERSION, params["solutionVersionArn"])
    recipe = get_recipe(version.body["recipeArn"])
    if not recipe.batch:
        raise invalid_input(f"Batch inference jobs are not supported by the recipe {recipe.name}.")
    check_filter(context, params.get("filterArn"), version)
    check_paths(params)
    _check_config(params.get("batchInferenceJobConfig", {}), recipe)
    _check_themes(context, params, version, recipe)
    copied = ("jobName", "filterArn", "jobInput", "jobOutput", "batchInferenceJobConfig", "roleArn")
    body = {
        **{key: params.get(key) for key in (*copied, "themeGenerationConfig")},
        "solutionVersionArn": version.arn,
        "numResults": number_of_results(params),
        "batchInferenceJobMode": params.get("batchInferenceJobMode", "BATCH_INFERENCE"),
    }
    context.check_quota(BATCH_INFERENCE_JOB)
    return create(context, BATCH_INFERENCE_JOB, arn, body, parent=version, params=params)


def _check_config(config: Params, recipe: Recipe) -> None:
    # The shape bounds the influences: POPULARITY and FRESHNESS from 0 to 1.
    if config.get("rankingInfluence") and not recipe.influence:
        raise invalid_input(f"rankingInfluence is not supported by the recipe {recipe.name}.")
    exploration = config.get("itemExplorationConfig")
    if exploration:
        if not recipe.exploration:
            raise invalid_input(f"itemExplorationConfig is not supported by the recipe {recipe.name}.")
        check_exploration(exploration)


def check_exploration(config: dict[str, str]) -> None:
    """Refuse unknown names and values out of range in an `itemExplorationConfig`."""
    # Ranges: https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-new-item-USER_PERSONALIZATION.html
    bounds = {"explorationWeight": (0.0, 1.0), "explorationItemAgeCutOff": (1.0, float("inf"))}
    for name, text in config.items():
        if name not in bounds:
            raise invalid_input(f"Unknown itemExplorationConfig parameter {name}.")
        low, high = bounds[name]
        number = number_in(text)
        if number is None or not low <= number <= high:
            raise invalid_input(f"{name} must be a number in [{low:g}, {high:g}], not {text}.")


def _check_themes(context: Context, params: Params, version: Resource, recipe: Recipe) -> None:
    wanted = params.get("batchInferenceJobMode") == _THEMES
    config = params.get("themeGenerationConfig")
    if not wanted:
        if config:
            raise invalid_input(f"themeGenerationConfig requires batchInferenceJobMode {_THEMES}.")
        return
    if not recipe.themes:
        raise invalid_input(f"{_THEMES} is not supported by the recipe {recipe.name}.")
    if not config:
        raise invalid_input(f"batchInferenceJobMode {_THEMES} requires a themeGenerationConfig.")
    column = config["fieldsForThemeGeneration"]["itemName"]
    items = dataset_parts(context.store, version.body["datasetGroupArn"]).get("ITEMS")
    if items is None or not _has_text(items.schema, column):
        raise invalid_input(f"{column} is not a string column of the dataset group's Items dataset.")


def _has_text(schema: DatasetSchema, column: str) -> bool:
    return any(field.name == column and field.type == "string" for field in schema.fields)


OPERATIONS = {
    "CreateBatchInferenceJob": create_batch_inference_job,
    **operations_of(BATCH_INFERENCE_JOB),
}
