"""Start batch inference jobs and batch segment jobs. They cannot be deleted, so a job name can be used only once.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchInferenceJob.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.datasets.avro import DatasetSchema
from personalize_local.errors import already_exists, invalid_input
from personalize_local.filters.check import check_usable
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.operations.common import check_inference_config, create, find_active, operations_of
from personalize_local.recipes import Recipe, get_recipe
from personalize_local.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    FILTER,
    SOLUTION_VERSION,
    Resource,
)
from personalize_local.s3 import is_s3_uri

DEFAULT_RESULTS = 25  # numResults when not given, by the service's API page
_THEMES = "THEME_GENERATION"
# https://docs.aws.amazon.com/personalize/latest/dg/getting-user-segments.html
_MOST_USERS_PER_SEGMENT = 5_000_000


def check_filter(context: Context, arn: str | None, version: Resource) -> None:
    """Refuse a filter that is not ACTIVE, of another dataset group, or unusable with the version's recipe."""
    if arn is None:
        return
    found, group = find_active(context, FILTER, arn), version.body["datasetGroupArn"]
    if found.parent_arn != group:
        raise invalid_input(f"Filter {arn} does not belong to the dataset group {group}.")
    check_usable(found.body["filterExpression"], get_recipe(version.body["recipeArn"]))


def check_paths(params: Params) -> None:
    """Refuse paths outside S3, an output that is not a folder, and an output equal to the input."""
    source = params["jobInput"]["s3DataSource"]["path"]
    destination = params["jobOutput"]["s3DataDestination"]["path"]
    if not is_s3_uri(source):
        raise invalid_input("Invalid S3 input path")
    if not is_s3_uri(destination) or not destination.endswith("/") or destination == source:
        raise invalid_input("Invalid S3 output path")


def number_of_results(params: Params, most: int | None = None) -> int:
    """Return numResults or its default; refuse less than 1 and more than `most`."""
    wanted = int(params.get("numResults", DEFAULT_RESULTS))
    if wanted < 1:
        raise invalid_input("numResults must be at least 1.")
    if most is not None and wanted > most:
        raise invalid_input(f"numResults must be at most {most}.")
    return wanted


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
    check_inference_config(params.get("batchInferenceJobConfig", {}), recipe)
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


def create_batch_segment_job(context: Context, params: Params) -> dict[str, Any]:
    """Start a batch segment job on an ACTIVE solution version of a USER_SEGMENTATION recipe."""
    arn = context.arn(f"{BATCH_SEGMENT_JOB.tail}/{params['jobName']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    version = find_active(context, SOLUTION_VERSION, params["solutionVersionArn"])
    recipe = get_recipe(version.body["recipeArn"])
    if not recipe.segments:
        raise invalid_input(f"Batch segment jobs are not supported by the recipe {recipe.name}.")
    check_filter(context, params.get("filterArn"), version)
    check_paths(params)
    body = {
        **{key: params.get(key) for key in ("jobName", "filterArn", "jobInput", "jobOutput", "roleArn")},
        "solutionVersionArn": version.arn,
        "numResults": number_of_results(params, _MOST_USERS_PER_SEGMENT),
    }
    context.check_quota(BATCH_SEGMENT_JOB)
    return create(context, BATCH_SEGMENT_JOB, arn, body, parent=version, params=params)


OPERATIONS = {
    "CreateBatchInferenceJob": create_batch_inference_job,
    "CreateBatchSegmentJob": create_batch_segment_job,
    **operations_of(BATCH_INFERENCE_JOB),
    **operations_of(BATCH_SEGMENT_JOB),
}
