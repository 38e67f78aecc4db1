"""Manage recommenders, which train on a domain dataset group and serve one of its use cases in real time.

The service trains them again every 7 days; this server trains them when they are created, and when an update changes
their columns. API: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateRecommender.html
"""

from __future__ import annotations

from typing import Any

from personalize_local.context import Context, Operation, Params
from personalize_local.errors import already_exists, in_use, invalid_input
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.operations.common import (
    check_inference_config,
    create,
    find,
    find_active,
    latest_update,
    list_all,
    refuse_updating,
    start_delete,
    start_update,
)
from personalize_local.operations.solution_config import check_columns
from personalize_local.operations.solution_versions import check_datasets
from personalize_local.recipes import Recipe, get_recipe
from personalize_local.resources import (
    ACTIVE,
    CREATING,
    DATASET_GROUP,
    DELETING,
    INACTIVE,
    RECOMMENDER,
    RECOMMENDER_UPDATE,
    START_PENDING,
    STOP_PENDING,
    TRANSITIONS,
    Resource,
)

_DEFAULT_CONFIG = {"minRecommendationRequestsPerSecond": 1}  # by the service's API page


def create_recommender(context: Context, params: Params) -> dict[str, Any]:
    """Start to create a recommender, which trains its model, for a use case of the dataset group's domain."""
    arn = context.arn(f"{RECOMMENDER.tail}/{params['name']}")
    if context.store.get(arn) is not None:
        raise already_exists(arn)
    group = find_active(context, DATASET_GROUP, params["datasetGroupArn"])
    recipe = get_recipe(params["recipeArn"])
    if recipe.domain is None:
        raise invalid_input(f"The recipe {recipe.name} is not a domain use case: create a solution with it.")
    if recipe.domain != group.body.get("domain"):
        raise invalid_input(
            f"The recipe {recipe.name} requires a dataset group of the domain {recipe.domain}. The domain of"
            f" {group.arn} is {group.body.get('domain')}."
        )
    check_datasets(context, group.arn, recipe)
    config = _checked_config(context, group.arn, recipe, params.get("recommenderConfig", {}))
    context.check_quota(RECOMMENDER, group)
    body = {
        "name": params["name"],
        "datasetGroupArn": group.arn,
        "recipeArn": recipe.arn,
        "recommenderConfig": _DEFAULT_CONFIG | config,
    }
    return create(context, RECOMMENDER, arn, body, parent=group, params=params)


def describe_recommender(context: Context, params: Params) -> dict[str, Any]:
    """Return a recommender with its metrics and latest update."""
    recommender = find(context, RECOMMENDER, params["recommenderArn"])
    update = latest_update(context, RECOMMENDER_UPDATE, recommender)
    return {"recommender": {**recommender.body, "latestRecommenderUpdate": update}}


def update_recommender(context: Context, params: Params) -> dict[str, Any]:
    """Start to change a recommender's configuration; the old one serves until then."""
    recommender = _in_state(context, params, ACTIVE, INACTIVE)
    recipe = get_recipe(recommender.body["recipeArn"])
    group_arn = str(recommender.parent_arn)
    config = _checked_config(context, group_arn, recipe, params["recommenderConfig"])
    body = {"recommenderConfig": recommender.body["recommenderConfig"] | config}
    start_update(context, RECOMMENDER_UPDATE, recommender, body)
    return {"recommenderArn": recommender.arn}


def delete_recommender(context: Context, params: Params) -> dict[str, Any]:
    """Start to delete a recommender."""
    recommender = find(context, RECOMMENDER, params["recommenderArn"])
    refuse_updating(context, RECOMMENDER_UPDATE, recommender)
    return start_delete(context, recommender)


def change_state(former: str, pending: str) -> Operation:
    """Return StopRecommender or StartRecommender: the state it requires, and the one it begins with."""

    def operation(context: Context, params: Params) -> dict[str, Any]:
        recommender = _in_state(context, params, former)
        refuse_updating(context, RECOMMENDER_UPDATE, recommender)
        recommender.move_to(pending)
        context.store.save(recommender)
        context.submit(recommender)
        return {"recommenderArn": recommender.arn}

    return operation


def _in_state(context: Context, params: Params, *states: str) -> Resource:
    recommender = find(context, RECOMMENDER, params["recommenderArn"])
    if recommender.status in (*CREATING, *TRANSITIONS, *DELETING):
        raise in_use(f"Recommender {recommender.arn} is in {recommender.status}.")
    if recommender.status not in states:
        raise invalid_input(
            f"Recommender {recommender.arn} must be {' or '.join(states)}. Its status is {recommender.status}."
        )
    return recommender


def _checked_config(context: Context, group_arn: str, recipe: Recipe, config: Params) -> Params:
    """Return a `recommenderConfig`; refuse settings that the use case does not support, or that are out of range."""
    check_inference_config(config, recipe)
    datasets = dataset_parts(context.store, group_arn)
    schemas = {kind: dataset.schema for kind, dataset in datasets.items()}
    check_columns(config.get("trainingDataConfig", {}), schemas)
    return config


OPERATIONS = {
    "CreateRecommender": create_recommender,
    "DescribeRecommender": describe_recommender,
    "ListRecommenders": list_all(RECOMMENDER),
    "UpdateRecommender": update_recommender,
    "StopRecommender": change_state(ACTIVE, STOP_PENDING),
    "StartRecommender": change_state(INACTIVE, START_PENDING),
    "DeleteRecommender": delete_recommender,
}
