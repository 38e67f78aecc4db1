"""Train solution versions with the engine."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from personalize_local import engine
from personalize_local.datasets.parquet import DatasetParts, read_parts
from personalize_local.datasets.training_data import (
    EventParameters,
    Needs,
    TrainingRequest,
    read_training_data,
)
from personalize_local.engine.inputs import Objective
from personalize_local.errors import JobFailed
from personalize_local.jobs.dataset_files import dataset_parts, has_earlier
from personalize_local.jobs.job import Job, JobContext
from personalize_local.jobs.workers import Task
from personalize_local.meter import bill_training
from personalize_local.recipes import Parameter, Recipe, get_recipe
from personalize_local.resources import ACTIVE, DATA_DELETION_JOB, DATASET, SOLUTION_VERSION, Resource
from personalize_local.store import Store

# Recipes with special needs. Segments use bulk rows only.
_NEEDS = {
    "aws-semantic-similarity": Needs(interactions=False),
    "aws-item-attribute-affinity": Needs(all_item_columns=True),
    "aws-next-best-action": Needs(actions=True),
}
_BULK_ONLY = "USER_SEGMENTATION"
_METRIC_DECIMALS = 4  # as the service's own replies show
_SECONDS_PER_HOUR = 3600
# The service allows up to 40; here candidates are trained one after another.
_MOST_CANDIDATES = 4
_OBJECTIVE = "normalized_discounted_cumulative_gain_at_25"
_SEED = 1


def training_task(context: JobContext, resource: Resource, previous: str | None = None) -> Task:
    """Return the task that trains a solution version into a new folder; a recommender is given in that form.

    With performHPO, all candidates are trained one after another.

    :param previous: folder of the model to extend, for an UPDATE.
    """
    config = resource.body["solutionConfig"]
    recipe = get_recipe(resource.body["recipeArn"])
    tunes = resource.body.get("performHPO") and previous is None
    return Task(
        train_model,
        {
            "recipe": recipe.name,
            "request": training_request(context.store, resource),
            "hyperparameters": {
                **config.get("featureTransformationParameters", {}),
                **config.get("algorithmHyperParameters", {}),
            },
            "candidates": draw_candidates(recipe, config.get("hpoConfig", {})) if tunes else [],
            "previous": previous,
            "folder": context.storage.new_model_folder(),
        },
    )


class Training(Job):
    """Train FULL on all current rows; UPDATE extends the newest FULL version."""

    heavy = True

    def must_wait(self, context: JobContext, resource: Resource) -> bool:
        """Wait for earlier user deletions: deleted rows must not be trained on."""
        group_arn = resource.body["datasetGroupArn"]
        return has_earlier(context.store, resource, DATA_DELETION_JOB, group_arn)

    def begin(self, context: JobContext, resource: Resource) -> Task:
        """Train on the current files."""
        previous = _newest_full_model(context.store, resource) if _is_update(resource) else None
        resource.internal.update(
            startedSeconds=time.time(), interactions=_interaction_rows(context.store, resource)
        )
        context.store.save(resource)
        return training_task(context, resource, previous)

    def finish(self, context: JobContext, resource: Resource, result: Any, wall_seconds: float) -> None:
        """Store the model's folder and metrics."""
        resource.internal.update(model=result["folder"], metrics=result["metrics"])
        if result["tuned"] is not None:
            resource.body["tunedHPOParams"] = {"algorithmHyperParameters": result["tuned"]}
        # The service reports normalised compute; here it is wall time.
        resource.body["trainingHours"] = round(wall_seconds / _SECONDS_PER_HOUR, 6)
        bill_training(context.store, resource, resource.internal["interactions"])

    def stop(self, context: JobContext, resource: Resource) -> None:
        """Bill a stopped training by the time it ran."""
        started_seconds = resource.internal.get("startedSeconds")
        if started_seconds is not None:
            hours = (time.time() - started_seconds) / _SECONDS_PER_HOUR
            resource.body["trainingHours"] = round(max(0.0, hours), 6)
            bill_training(context.store, resource, resource.internal["interactions"])


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
    """Count the rows of the Interactions dataset before any event is filtered out; equal rows are one."""
    dataset = dataset_parts(store, resource.body["datasetGroupArn"]).get("INTERACTIONS")
    if dataset is None or not dataset.parts:
        return 0
    if len(dataset.parts) == 1:
        return int(pq.read_metadata(dataset.parts[0]).num_rows)
    return int(read_parts(dataset.parts, "INTERACTIONS").num_rows)


def _is_update(resource: Resource) -> bool:
    return bool(resource.body["trainingMode"] == "UPDATE")


def _newest_full_model(store: Store, resource: Resource) -> str:
    versions = store.select(SOLUTION_VERSION.noun, parent_arn=resource.parent_arn, statuses=[ACTIVE])
    models = [version.internal["model"] for version in versions if not _is_update(version)]
    if not models:
        raise JobFailed("Create failed. There is no ACTIVE solution version trained with FULL.")
    return str(models[-1])


def training_request(store: Store, resource: Resource) -> TrainingRequest:
    """Return what a solution version trains on, in the current files of its dataset group."""
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
        needs=replace(_NEEDS.get(recipe.name, Needs()), event=resource.body.get("neededEvent")),
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
    """Add the columns that a dataset got after the solution was created."""
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


def draw_candidates(recipe: Recipe, config: dict[str, Any]) -> list[dict[str, str]]:
    """Draw sets of hyperparameters, the same for the same configuration: what `performHPO` tries.

    https://docs.aws.amazon.com/personalize/latest/dg/customizing-solution-config-hpo.html

    :param config: `hpoConfig`; without ranges, all tunable hyperparameters are drawn from their whole range.
    :returns: `maxNumberOfTrainingJobs` sets, at most 4.
    """
    ranges = [entry for part in config.get("algorithmHyperParameterRanges", {}).values() for entry in part]
    tunable = {parameter.name: parameter for parameter in recipe.algorithm_parameters if parameter.tunable}
    if not ranges:
        ranges = [_whole_range(parameter) for parameter in tunable.values()]
    wanted = int(config.get("hpoResourceConfig", {}).get("maxNumberOfTrainingJobs", _MOST_CANDIDATES))
    chance = random.Random(_SEED)  # ruff: ignore[suspicious-non-cryptographic-random-usage] - draws settings, no secret
    found: list[dict[str, str]] = []
    # Stop after 80 draws, because there may be fewer distinct sets.
    for _ in range(20 * _MOST_CANDIDATES):
        drawn = {entry["name"]: _draw(tunable[entry["name"]], entry, chance) for entry in ranges}
        if drawn not in found:
            found.append(drawn)
        if len(found) == min(wanted, _MOST_CANDIDATES):
            break
    return found


def _whole_range(parameter: Parameter) -> dict[str, Any]:
    if parameter.choices:
        return {"name": parameter.name, "values": list(parameter.choices)}
    return {"name": parameter.name, "minValue": parameter.low, "maxValue": parameter.high}


def _draw(parameter: Parameter, entry: dict[str, Any], chance: random.Random) -> str:
    if "values" in entry:
        return str(chance.choice(entry["values"]))
    low, high = entry["minValue"], entry["maxValue"]
    if parameter.type == "int":
        return str(chance.randint(int(low), int(high)))
    return f"{chance.uniform(low, high):.4f}"


def best_model(
    recipe: str, data: engine.TrainingData, fixed: dict[str, str], tried: list[dict[str, str]]
) -> tuple[dict[str, str], engine.TrainedModel]:
    """Train with each set and return the best set and model, by NDCG@25 on the held-out users."""
    best: tuple[dict[str, str], engine.TrainedModel] | None = None
    for drawn in tried:
        model = engine.train(recipe, data, {**fixed, **drawn})
        if best is None or model.metrics[_OBJECTIVE] > best[1].metrics[_OBJECTIVE]:
            best = drawn, model
    assert best is not None
    return best
