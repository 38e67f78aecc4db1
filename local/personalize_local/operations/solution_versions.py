"""Train solution versions, stop them, and read their metrics.

API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateSolutionVersion.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.errors import already_exists, in_use, invalid_input
from personalize_local.operations.common import create, find, find_active, operations_of, refuse_updating
from personalize_local.recipes import Recipe, get_recipe
from personalize_local.resources import (
    ACTIVE,
    CREATE_STOPPING,
    CREATING,
    DATASET,
    DATASET_IMPORT_JOB,
    DATASET_UPDATE,
    DELETING,
    SOLUTION,
    SOLUTION_VERSION,
    Resource,
    solution_version_tail,
)

_COPIED = ("performHPO", "performAutoML", "performIncrementalUpdate", "recipeArn", "eventType")


def create_solution_version(context: Context, params: Params) -> dict[str, Any]:
    """Start a training; names are unique within a solution."""
    solution = find_active(context, SOLUTION, params["solutionArn"])
    mode = params.get("trainingMode", "FULL")
    _check_name(context, solution, params.get("name"))
    check_datasets(context, str(solution.parent_arn), get_recipe(solution.body["recipeArn"]))
    _check_mode(context, solution, mode)
    context.check_quota(SOLUTION_VERSION)
    tail = solution_version_tail(solution.body["name"])
    body = {
        **{key: solution.body.get(key) for key in _COPIED},
        # An unnamed version is called by the tail of its ARN.
        "name": params.get("name", tail.removeprefix(f"{SOLUTION.tail}/")),
        "solutionArn": solution.arn,
        "datasetGroupArn": solution.parent_arn,
        "solutionConfig": solution.body["solutionConfig"],
        "trainingMode": mode,
        "trainingType": "MANUAL",
    }
    return create(context, SOLUTION_VERSION, context.arn(tail), body, parent=solution, params=params)


def stop_solution_version_creation(context: Context, params: Params) -> dict[str, Any]:
    """Stop a training: it goes through CREATE STOPPING to CREATE STOPPED."""
    version = find(context, SOLUTION_VERSION, params["solutionVersionArn"])
    if version.status not in CREATING:
        raise invalid_input(
            f"Only a solution version in creation can be stopped. {version.arn} is {version.status}."
        )
    version.move_to(CREATE_STOPPING)
    context.store.save(version)
    context.to_cancel.append(version.arn)
    return {}


def get_solution_metrics(context: Context, params: Params) -> dict[str, Any]:
    """Return the metrics of a trained version."""
    version = find(context, SOLUTION_VERSION, params["solutionVersionArn"])
    if version.status in (*CREATING, CREATE_STOPPING):
        raise in_use(f"Solution version {version.arn} is in {version.status}.")
    if version.status != ACTIVE:
        raise invalid_input(f"Solution version {version.arn} has no metrics. Its status is {version.status}.")
    return {"solutionVersionArn": version.arn, "metrics": version.internal["metrics"]}


def _check_name(context: Context, solution: Resource, name: str | None) -> None:
    for version in context.store.select(SOLUTION_VERSION.noun, parent_arn=solution.arn):
        if name is not None and version.body["name"] == name:
            raise already_exists(version.arn)


def check_datasets(context: Context, group_arn: str, recipe: Recipe) -> None:
    """Raise an `ApiError` unless the datasets that a recipe trains on are ACTIVE and none changes."""
    active = set()
    datasets = context.store.select(DATASET.noun, parent_arn=group_arn)
    for dataset in datasets:
        if dataset.status in DELETING:
            raise in_use(f"Dataset {dataset.arn} is being deleted.")
        refuse_updating(context, DATASET_UPDATE, dataset)
        if dataset.status == ACTIVE:
            active.add(dataset.body["datasetType"])
    for needed in recipe.datasets:
        if needed not in active:
            raise invalid_input(f"Dataset group {group_arn} has no active dataset of type {needed}.")


def _check_mode(context: Context, solution: Resource, mode: str) -> None:
    if mode == "FULL":
        return
    if mode != "UPDATE":
        raise invalid_input(f"trainingMode {mode} is set by the service only.")
    recipe = get_recipe(solution.body["recipeArn"])
    if not recipe.update:
        raise invalid_input(f"trainingMode UPDATE is not supported by the recipe {recipe.name}.")
    versions = context.store.select(SOLUTION_VERSION.noun, parent_arn=solution.arn, statuses=[ACTIVE])
    fulls = [version for version in versions if version.body["trainingMode"] == "FULL"]
    if not fulls:
        raise invalid_input("trainingMode UPDATE requires an ACTIVE solution version trained with FULL.")
    if context.refuse_unchanged_updates and not _changed_since(context, solution, fulls[-1]):
        raise invalid_input(
            "There should be updates to at least one dataset after last active solution version with training mode set "
            "to FULL"
        )


def _changed_since(context: Context, solution: Resource, version: Resource) -> bool:
    """Return whether any import finished after a version was created, or any rows were streamed."""
    since = version.body["creationDateTime"]
    for dataset in context.store.select(DATASET.noun, parent_arn=solution.parent_arn):
        jobs = context.store.select(DATASET_IMPORT_JOB.noun, parent_arn=dataset.arn, statuses=[ACTIVE])
        if dataset.internal.get("put_parts") or any(job.body["lastUpdatedDateTime"] > since for job in jobs):
            return True
    return False


OPERATIONS = {
    "CreateSolutionVersion": create_solution_version,
    "StopSolutionVersionCreation": stop_solution_version_creation,
    "GetSolutionMetrics": get_solution_metrics,
    **operations_of(SOLUTION_VERSION),
}
