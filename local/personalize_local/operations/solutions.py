"""Manage solutions.

`performAutoTraining` is stored (default true, as in the service), but this server only trains when a solution version
is created.
API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateSolution.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.engine import TRAINABLE_RECIPES
from personalize_local.errors import already_exists, invalid_input, not_built
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.operations.campaigns import refuse_campaigns
from personalize_local.operations.common import (
    create,
    find,
    find_active,
    latest_update,
    list_all,
    refuse_busy,
    refuse_updating,
    start_delete,
    start_update,
)
from personalize_local.operations.solution_config import (
    check_events,
    check_incremental_update,
    check_schedule,
    check_solution,
)
from personalize_local.recipes import Recipe, get_recipe
from personalize_local.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    DATASET_GROUP,
    SOLUTION,
    SOLUTION_UPDATE,
    SOLUTION_VERSION,
)

_UPDATED = ("performAutoTraining", "performIncrementalUpdate", "solutionUpdateConfig")


def create_solution(context: Context, params: Params) -> dict[str, Any]:
    """Start to create a solution with a recipe this server can train."""
    arn = context.arn(f"{SOLUTION.tail}/{params['name']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    group = find_active(context, DATASET_GROUP, params["datasetGroupArn"])
    recipe = _recipe(params)
    datasets = dataset_parts(context.store, group.arn)
    check_solution(params, recipe, {kind: dataset.schema for kind, dataset in datasets.items()})
    context.check_quota(SOLUTION, group)
    body = {
        "name": params["name"],
        "performHPO": params.get("performHPO", False),
        "performAutoML": False,
        "performAutoTraining": params.get("performAutoTraining", True),
        "performIncrementalUpdate": params.get("performIncrementalUpdate", False),
        "recipeArn": recipe.arn,
        "datasetGroupArn": group.arn,
        "eventType": params.get("eventType"),
        "solutionConfig": params.get("solutionConfig", {}),
    }
    return create(context, SOLUTION, arn, body, parent=group, params=params)


def describe_solution(context: Context, params: Params) -> dict[str, Any]:
    """Return a solution with its newest version, in any state."""
    solution = find(context, SOLUTION, params["solutionArn"])
    versions = context.store.select(SOLUTION_VERSION.noun, parent_arn=solution.arn)
    return {
        "solution": {
            **solution.body,
            "latestSolutionVersion": versions[-1].body if versions else None,
            "latestSolutionUpdate": latest_update(context, SOLUTION_UPDATE, solution),
        }
    }


def update_solution(context: Context, params: Params) -> dict[str, Any]:
    """Start to change automatic training, incremental updates or event weights; nothing else can change."""
    solution = find_active(context, SOLUTION, params["solutionArn"])
    body = {member: params[member] for member in _UPDATED if member in params}
    if not body:
        raise invalid_input(f"Nothing to update: give one of {', '.join(_UPDATED)}.")
    recipe = get_recipe(solution.body["recipeArn"])
    config = params.get("solutionUpdateConfig", {})
    check_incremental_update(params, recipe)
    check_events(config.get("eventsConfig"), recipe, solution.body.get("eventType"))
    check_schedule(config.get("autoTrainingConfig"))
    start_update(context, SOLUTION_UPDATE, solution, body)
    return {"solutionArn": solution.arn}


def delete_solution(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete a solution with all its versions, unless one is in progress or in use."""
    solution = find(context, SOLUTION, params["solutionArn"])
    refuse_campaigns(context, solution)
    refuse_updating(context, SOLUTION_UPDATE, solution)
    versions = context.store.select(SOLUTION_VERSION.noun, parent_arn=solution.arn)
    refuse_busy(versions)
    for version in versions:
        for kind in (BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB):
            refuse_busy(context.store.select(kind.noun, parent_arn=version.arn))
    return start_delete(context, solution)


def _recipe(params: Params) -> Recipe:
    if params.get("performAutoML"):
        raise not_built("AutoML (performAutoML), which the service has deprecated")
    if "recipeArn" not in params:
        raise invalid_input("A recipeArn is required when performAutoML is false.")
    recipe = get_recipe(params["recipeArn"])
    if recipe.domain is not None:
        raise invalid_input(f"The recipe {recipe.name} is a domain use case: create a recommender with it.")
    if recipe.closed:
        raise invalid_input(
            f"The recipe {recipe.name} is a legacy recipe, closed to new solutions."
            " Use aws-user-personalization-v2 or aws-user-personalization."
        )
    if recipe.name not in TRAINABLE_RECIPES:
        raise not_built(f"training of the recipe {recipe.name}")
    return recipe


OPERATIONS = {
    "CreateSolution": create_solution,
    "DescribeSolution": describe_solution,
    "ListSolutions": list_all(SOLUTION),
    "UpdateSolution": update_solution,
    "DeleteSolution": delete_solution,
}
