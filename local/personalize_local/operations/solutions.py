"""Manage solutions.

`performAutoTraining` reads back as asked for (default true, as in the service), but this server trains only
when a solution version is created.
API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateSolution.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Params
from personalize_local.engine import TRAINABLE_RECIPES
from personalize_local.errors import already_exists, invalid_input, not_built
from personalize_local.operations.common import (
    create,
    find,
    find_active,
    list_all,
    refuse_busy,
    start_delete,
)
from personalize_local.operations.solution_config import check_solution
from personalize_local.quotas import SOLUTIONS_PER_DATASET_GROUP, check_count
from personalize_local.recipes import Recipe, get_recipe
from personalize_local.resources import BATCH_INFERENCE_JOB, DATASET_GROUP, SOLUTION, SOLUTION_VERSION


def create_solution(context: Context, params: Params) -> dict[str, Any]:
    """Start to create a solution with a recipe this server can train."""
    arn = context.arn(f"{SOLUTION.tail}/{params['name']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    group = find_active(context, DATASET_GROUP, params["datasetGroupArn"])
    recipe = _recipe(params)
    check_solution(params, recipe)
    check_count(
        context.store,
        SOLUTION,
        SOLUTIONS_PER_DATASET_GROUP,
        region=context.region,
        parent_arn=group.arn,
    )
    body = {
        "name": params["name"],
        "performHPO": False,
        "performAutoML": False,
        "performAutoTraining": params.get("performAutoTraining", True),
        "performIncrementalUpdate": False,
        "recipeArn": recipe.arn,
        "datasetGroupArn": group.arn,
        "eventType": params.get("eventType"),
        "solutionConfig": params.get("solutionConfig", {}),
    }
    return create(context, SOLUTION, arn, body, parent=group, params=params)


def describe_solution(context: Context, params: Params) -> dict[str, Any]:
    """Return a solution with its newest version, which may be in progress or failed."""
    solution = find(context, SOLUTION, params["solutionArn"])
    versions = context.store.select(SOLUTION_VERSION.noun, parent_arn=solution.arn)
    latest = versions[-1].body if versions else None
    return {"solution": {**solution.body, "latestSolutionVersion": latest}}


def delete_solution(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete a solution with all its versions; none may be in progress or in use by a job."""
    solution = find(context, SOLUTION, params["solutionArn"])
    versions = context.store.select(SOLUTION_VERSION.noun, parent_arn=solution.arn)
    refuse_busy(versions)
    for version in versions:
        refuse_busy(context.store.select(BATCH_INFERENCE_JOB.noun, parent_arn=version.arn))
    return start_delete(context, solution)


def _recipe(params: Params) -> Recipe:
    if params.get("performAutoML"):
        raise not_built("AutoML (performAutoML)")
    if "recipeArn" not in params:
        raise invalid_input("A recipeArn is required when performAutoML is false.")
    recipe = get_recipe(params["recipeArn"])
    if recipe.domain is not None:
        raise invalid_input(f"The recipe {recipe.name} is a domain use case: create a recommender with it.")
    if recipe.name not in TRAINABLE_RECIPES:
        raise not_built(f"training of the recipe {recipe.name}")
    return recipe


OPERATIONS = {
    "CreateSolution": create_solution,
    "DescribeSolution": describe_solution,
    "ListSolutions": list_all(SOLUTION),
    "DeleteSolution": delete_solution,
}
