"""Start batch inference. Batch jobs cannot be deleted: a job name can be used once, for ever.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchInferenceJob.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists, invalid_input
from personalize_local.operations.common import create, find_active, operations_of
from personalize_local.quotas import check_in_progress
from personalize_local.recipes import Recipe, get_recipe
from personalize_local.resources import BATCH_INFERENCE_JOB, FILTER, SOLUTION_VERSION
from personalize_local.s3 import is_s3_uri

DEFAULT_RESULTS = 25  # numResults when not given, by the service's API page


def create_batch_inference_job(context: Context, params: Params) -> dict[str, Any]:
    """Start a batch inference job on an ACTIVE solution version."""
    arn = context.arn(f"{BATCH_INFERENCE_JOB.tail}/{params['jobName']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    version = find_active(context, SOLUTION_VERSION, params["solutionVersionArn"])
    _check_filter(context, params.get("filterArn"), version.body["datasetGroupArn"])
    recipe = get_recipe(version.body["recipeArn"])
    _check_paths(params["jobInput"]["s3DataSource"]["path"], params["jobOutput"]["s3DataDestination"]["path"])
    _check_options(params, recipe)
    check_in_progress(context.store, BATCH_INFERENCE_JOB, context.region)
    copied = ("jobName", "filterArn", "jobInput", "jobOutput", "batchInferenceJobConfig", "roleArn")
    body = {
        **{key: params.get(key) for key in copied},
        "solutionVersionArn": version.arn,
        "numResults": params.get("numResults", DEFAULT_RESULTS),
        "batchInferenceJobMode": params.get("batchInferenceJobMode", "BATCH_INFERENCE"),
    }
    return create(context, BATCH_INFERENCE_JOB, arn, body, parent=version, params=params)


def _check_filter(context: Context, arn: str | None, dataset_group_arn: str) -> None:
    if arn is not None and find_active(context, FILTER, arn).parent_arn != dataset_group_arn:
        raise invalid_input(f"Filter {arn} does not belong to the dataset group {dataset_group_arn}.")


def _check_paths(source: str, destination: str) -> None:
    if not is_s3_uri(source):
        raise invalid_input("Invalid S3 input path")
    if not is_s3_uri(destination) or not destination.endswith("/") or destination == source:
        raise invalid_input("Invalid S3 output path")


def _check_options(params: Params, recipe: Recipe) -> None:
    if params.get("numResults", DEFAULT_RESULTS) < 1:
        raise invalid_input("numResults must be at least 1.")
    if params.get("batchInferenceJobMode") == "THEME_GENERATION" or "themeGenerationConfig" in params:
        raise invalid_input(f"THEME_GENERATION is not supported by the recipe {recipe.name}.")
    config = params.get("batchInferenceJobConfig", {})
    if config.get("rankingInfluence"):
        raise invalid_input(f"rankingInfluence is not supported by the recipe {recipe.name}.")
    exploration = config.get("itemExplorationConfig")
    if exploration:
        if not recipe.exploration:
            raise invalid_input(f"itemExplorationConfig is not supported by the recipe {recipe.name}.")
        _check_exploration(exploration)


def _check_exploration(config: dict[str, str]) -> None:
    # Ranges: https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-new-item-USER_PERSONALIZATION.html
    bounds = {"explorationWeight": (0.0, 1.0), "explorationItemAgeCutOff": (1.0, float("inf"))}
    for name, text in config.items():
        if name not in bounds:
            raise invalid_input(f"Unknown itemExplorationConfig parameter {name}.")
        low, high = bounds[name]
        try:
            valid = low <= float(text) <= high
        except ValueError:
            valid = False
        if not valid:
            raise invalid_input(f"{name} must be a number in [{low:g}, {high:g}], not {text}.")


OPERATIONS = {
    "CreateBatchInferenceJob": create_batch_inference_job,
    **operations_of(BATCH_INFERENCE_JOB),
}
