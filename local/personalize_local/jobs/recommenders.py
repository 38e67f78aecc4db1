"""Train recommenders, and change, stop, start and delete them."""

from __future__ import annotations

from typing import Any

from personalize_local.errors import JobFailed
from personalize_local.jobs.dataset_files import has_earlier
from personalize_local.jobs.job import Job, JobContext
from personalize_local.jobs.training import training_task
from personalize_local.jobs.workers import Task
from personalize_local.meter import start_serving, stop_serving
from personalize_local.recipes import get_recipe
from personalize_local.resources import (
    ACTIVE,
    DATA_DELETION_JOB,
    RECOMMENDER_UPDATE,
    SOLUTION_VERSION,
    Resource,
    service_owned_arn,
)

_COLUMNS = "trainingDataConfig"


def as_version(recommender: Resource, config: dict[str, Any] | None = None) -> Resource:
    """Return the solution version that would train and serve a recommender.

    :param config: `recommenderConfig`; None for the recommender's own.
    """
    use_case = get_recipe(recommender.body["recipeArn"]).use_case
    if use_case is None:
        raise LookupError(f"{recommender.arn} has a recipe without a use case")
    config = recommender.body["recommenderConfig"] if config is None else config
    body = {
        "recipeArn": service_owned_arn(f"recipe/{use_case.model}"),
        "datasetGroupArn": recommender.parent_arn,
        "eventType": use_case.event if use_case.only_event else None,
        "neededEvent": use_case.event,
        "trainingMode": "FULL",
        "solutionConfig": {_COLUMNS: config.get(_COLUMNS) or {}},
    }
    internal = {"model": recommender.internal.get("model")}
    return Resource(
        recommender.arn, SOLUTION_VERSION.noun, recommender.region, recommender.parent_arn, body, internal
    )


class Recommender(Job):
    """Train a recommender on all current rows."""

    heavy = True

    def must_wait(self, context: JobContext, resource: Resource) -> bool:
        """Wait for earlier user deletions: deleted rows must not be trained on."""
        return has_earlier(context.store, resource, DATA_DELETION_JOB, resource.parent_arn)

    def begin(self, context: JobContext, resource: Resource) -> Task:
        """Train the use case's model."""
        return training_task(context, as_version(resource))

    def finish(self, _context: JobContext, resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Store the model's folder and metrics, and start to bill."""
        _trained(resource, result)
        start_serving(resource)

    def changed(self, context: JobContext, resource: Resource) -> None:
        """Bill an ACTIVE recommender; no more an INACTIVE one."""
        if resource.status == ACTIVE:
            start_serving(resource)
        else:
            stop_serving(context.store, resource)

    def delete(self, context: JobContext, resource: Resource) -> None:
        """Remove a recommender with its updates; the model becomes garbage."""
        stop_serving(context.store, resource)
        for update in context.store.select(RECOMMENDER_UPDATE.noun, parent_arn=resource.arn):
            context.store.delete(update.arn)
        context.store.delete(resource.arn)


class RecommenderUpdate(Job):
    """Change the configuration of a recommender; train it again when its columns change."""

    heavy = True

    def must_wait(self, context: JobContext, resource: Resource) -> bool:
        """Wait for earlier user deletions: deleted rows must not be trained on."""
        group_arn = _recommender_of(context, resource).parent_arn
        return has_earlier(context.store, resource, DATA_DELETION_JOB, group_arn)

    def begin(self, context: JobContext, resource: Resource) -> Task | None:
        """Train on the current files if other columns are to be trained on."""
        recommender, config = _recommender_of(context, resource), resource.body["recommenderConfig"]
        if config.get(_COLUMNS) == recommender.body["recommenderConfig"].get(_COLUMNS):
            return None
        return training_task(context, as_version(recommender, config))

    def finish(self, context: JobContext, resource: Resource, result: Any, _wall_seconds: float) -> None:
        """Copy the update into the recommender."""
        recommender = _recommender_of(context, resource)
        if recommender.status == ACTIVE:
            # Bill the time until now by the old throughput.
            stop_serving(context.store, recommender)
            start_serving(recommender)
        if result is not None:
            _trained(recommender, result)
        recommender.body["recommenderConfig"] = resource.body["recommenderConfig"]
        recommender.body["lastUpdatedDateTime"] = resource.body["lastUpdatedDateTime"]
        context.store.save(recommender)


def _trained(recommender: Resource, result: dict[str, Any]) -> None:
    recommender.internal["model"] = result["folder"]
    recommender.body["modelMetrics"] = result["metrics"]


def _recommender_of(context: JobContext, update: Resource) -> Resource:
    found = context.store.get(str(update.parent_arn))
    if found is None:
        raise JobFailed(f"The recommender {update.parent_arn} does not exist any more.")
    return found
