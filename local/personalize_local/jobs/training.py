"""Train solution versions with the engine."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from personalize_local import engine
from personalize_local.datasets.parts import DatasetParts
from personalize_local.datasets.training_data import (
    EventParameters,
    Needs,
    TrainingRequest,
    read_training_data,
)
from personalize_local.engine.data import Objective
from personalize_local.errors import JobFailed
from personalize_local.jobs.dataset_files import dataset_parts, has_earlier
from personalize_local.jobs.job import Job, Surroundings
from personalize_local.jobs.tuning import best_model, candidates
from personalize_local.jobs.workers import Task
from personalize_local.meter import bill_training
from personalize_local.recipes import get_recipe
from personalize_local.resources import ACTIVE, DATA_DELETION_JOB, DATASET, SOLUTION_VERSION, Resource
from personalize_local.store import Store

# What recipes look at that others do not. Segments see bulk rows only.
_NEEDS = {
    "aws-semantic-similarity": Needs(interactions=False),
    "aws-item-attribute-affinity": Needs(all_item_columns=True),
    "aws-next-best-action": Needs(actions=True),
}
_BULK_ONLY = "USER_SEGMENTATION"
_METRIC_DECIMALS = 4  # as the service's own replies show
_SECONDS_PER_HOUR = 3600


class Training(Job):
    """Train FULL on all rows there are when it begins; UPDATE extends the newest FULL version."""

    heavy = True

    def must_wait(self, around: Surroundings, resource: Resource) -> bool:
        """Begin after the deletions of users that were asked for before, whose rows it must not learn."""
        group_arn = resource.body["datasetGroupArn"]
        return has_earlier(around.store, resource, DATA_DELETION_JOB, group_arn)

    def begin(self, around: Surroundings, resource: Resource) -> Task:
        """Train on the files that the datasets have now, into a folder of this try.

        With performHPO all candidates are trained, one after another.
        """
        previous = _newest_full_model(around.store, resource) if _is_update(resource) else None
        config = resource.body["solutionConfig"]
        recipe = get_recipe(resource.body["recipeArn"])
        tunes = resource.body.get("performHPO") and previous is None
        resource.internal.update(
            startedSeconds=time.time(), interactions=_interaction_rows(around.store, resource)
        )
        around.store.save(resource)
        return Task(
            train_model,
            {
                "recipe": recipe.name,
                "request": _request(around.store, resource),
                "hyperparameters": {
                    **config.get("featureTransformationParameters", {}),
                    **config.get("algorithmHyperParameters", {}),
                },
                "candidates": candidates(recipe, config.get("hpoConfig", {})) if tunes else [],
                "previous": previous,
                "folder": around.storage.new_model_folder(),
            },
        )

    def finish(self, around: Surroundings, resource: Resource, result: Any, wall_seconds: float) -> None:
        """Take over model and metrics."""
        resource.internal.update(model=result["folder"], metrics=result["metrics"])
        if result["tuned"] is not None:
            resource.body["tunedHPOParams"] = {"algorithmHyperParameters": result["tuned"]}
        # The service reports normalised compute; what a laptop has is wall time.
        resource.body["trainingHours"] = round(wall_seconds / _SECONDS_PER_HOUR, 6)
        bill_training(around.store, resource, resource.internal["interactions"])

    def stop(self, around: Surroundings, resource: Resource) -> None:
        """Bill a training that was stopped for as long as it ran."""
        started_seconds = resource.internal.get("startedSeconds")
        if started_seconds is not None:
            hours = (time.time() - started_seconds) / _SECONDS_PER_HOUR
            resource.body["trainingHours"] = round(max(0.0, hours), 6)
            bill_training(around.store, resource, resource.internal["interactions"])


def train_model(
    recipe: str,
    request: TrainingRequest,
    hyperparameters: dict[str, str],
    candidates: list[dict[str, str]],
    previous: str | None,
    folder: str,
) -> dict[str, Any]:
    """Train (or update the model in `previous`), save into `folder`, and return it with rounded metrics.

    :param candidates: hyperparameters to try; those of the best model are returned as `tuned`.
    """
    data = read_training_data(request)
    tuned = None
    try:
        if candidates:
            tuned, model = best_model(recipe, data, hyperparameters, candidates)
        elif previous is None:
            model = engine.train(recipe, data, hyperparameters)
        else:
            model = engine.update(recipe, Path(previous), data)
    except engine.EngineError as error:
        raise JobFailed(f"Create failed. {error}") from error
    target = Path(folder)
    target.mkdir()
    model.save(target)
    return {
        "folder": folder,
        "metrics": {key: round(value, _METRIC_DECIMALS) for key, value in model.metrics.items()},
        "tuned": tuned,
    }


def _interaction_rows(store: Store, resource: Resource) -> int:
    """Count the rows of the Interactions dataset before any event is filtered out."""
    dataset = dataset_parts(store, resource.body["datasetGroupArn"]).get("INTERACTIONS")
    return sum(pq.read_metadata(part).num_rows for part in dataset.parts) if dataset else 0


def _is_update(resource: Resource) -> bool:
    return bool(resource.body["trainingMode"] == "UPDATE")


def _newest_full_model(store: Store, resource: Resource) -> str:
    versions = store.select(SOLUTION_VERSION.noun, parent_arn=resource.parent_arn, statuses=[ACTIVE])
    models = [version.internal["model"] for version in versions if not _is_update(version)]
    if not models:
        raise JobFailed("Create failed. There is no ACTIVE solution version trained with FULL.")
    return str(models[-1])


def _request(store: Store, resource: Resource) -> TrainingRequest:
    config = resource.body["solutionConfig"]
    columns = config.get("trainingDataConfig", {})
    threshold = config.get("eventValueThreshold")
    recipe = get_recipe(resource.body["recipeArn"])
    objective = config.get("optimizationObjective") or {}
    excluded = _with_new_columns(store, resource, columns.get("excludedDatasetColumns", {}))
    return TrainingRequest(
        datasets=_datasets(store, resource.body["datasetGroupArn"], recipe.recipe_type == _BULK_ONLY),
        event_type=resource.body.get("eventType"),
        event_value_threshold=float(threshold) if threshold else None,
        excluded_columns=excluded,
        included_columns=columns.get("includedDatasetColumns", {}),
        events=_events((config.get("eventsConfig") or {}).get("eventParametersList", [])),
        objective=_objective(objective),
        needs=_NEEDS.get(recipe.name, Needs()),
    )


def _datasets(store: Store, group_arn: str, bulk_only: bool) -> dict[str, DatasetParts]:
    parts = dataset_parts(store, group_arn)
    if not bulk_only:
        return parts
    streamed = {
        part
        for dataset in store.select(DATASET.noun, parent_arn=group_arn)
        for part in dataset.internal.get("put_parts", [])
    }
    return {
        kind: replace(each, parts=tuple(part for part in each.parts if part not in streamed))
        for kind, each in parts.items()
    }


def _with_new_columns(
    store: Store, resource: Resource, excluded: dict[str, list[str]]
) -> dict[str, list[str]]:
    """Add the columns that a dataset got after the solution was made."""
    solution = store.get(str(resource.parent_arn))
    added = {} if solution is None else solution.internal.get("excluded_columns", {})
    return {kind: [*excluded.get(kind, []), *added.get(kind, [])] for kind in {*excluded, *added}}


def _events(entries: list[dict[str, Any]]) -> tuple[EventParameters, ...]:
    return tuple(
        EventParameters(each.get("eventType"), each.get("eventValueThreshold"), each.get("weight", 1.0))
        for each in entries
    )


def _objective(given: dict[str, str]) -> Objective | None:
    if not given.get("itemAttribute"):
        return None
    return Objective(given["itemAttribute"], given.get("objectiveSensitivity", "OFF"))
