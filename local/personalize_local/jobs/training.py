"""Train solution versions with the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from personalize_local import engine
from personalize_local.datasets.training_data import TrainingRequest, read_training_data
from personalize_local.errors import JobFailed
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.jobs.job import Job, Surroundings
from personalize_local.jobs.workers import Task
from personalize_local.recipes import get_recipe
from personalize_local.resources import ACTIVE, SOLUTION_VERSION, Resource
from personalize_local.store import Store

# The keys of GetSolutionMetrics for user, ranking, popularity and related-item recipes.
METRICS = (
    "coverage",
    "mean_reciprocal_rank_at_25",
    "normalized_discounted_cumulative_gain_at_5",
    "normalized_discounted_cumulative_gain_at_10",
    "normalized_discounted_cumulative_gain_at_25",
    "precision_at_5",
    "precision_at_10",
    "precision_at_25",
)
_METRIC_DECIMALS = 4  # as the service's own replies show
_SECONDS_PER_HOUR = 3600


class Training(Job):
    """Train FULL on all rows there are when it begins; UPDATE extends the newest FULL version."""

    heavy = True

    def begin(self, around: Surroundings, resource: Resource) -> Task:
        """Train on the files that the datasets have now, into a folder of this try."""
        previous = _newest_full_model(around.store, resource) if _is_update(resource) else None
        config = resource.body["solutionConfig"]
        return Task(
            train_model,
            {
                "recipe": get_recipe(resource.body["recipeArn"]).name,
                "request": _request(around.store, resource),
                "hyperparameters": {
                    **config.get("featureTransformationParameters", {}),
                    **config.get("algorithmHyperParameters", {}),
                },
                "previous": previous,
                "folder": around.storage.new_model_folder(),
            },
        )

    def finish(self, _around: Surroundings, resource: Resource, result: Any, wall_seconds: float) -> None:
        """Take over model and metrics."""
        resource.internal.update(model=result["folder"], metrics=result["metrics"])
        # The service reports normalised compute; what a laptop has is wall time.
        resource.body["trainingHours"] = round(wall_seconds / _SECONDS_PER_HOUR, 6)


def train_model(
    recipe: str,
    request: TrainingRequest,
    hyperparameters: dict[str, str],
    previous: str | None,
    folder: str,
) -> dict[str, Any]:
    """Train (or update the model in `previous`), save into `folder`, and return it with rounded metrics."""
    data = read_training_data(request)
    try:
        if previous is None:
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
        "metrics": {key: round(model.metrics[key], _METRIC_DECIMALS) for key in METRICS},
    }


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
    return TrainingRequest(
        datasets=dataset_parts(store, resource.body["datasetGroupArn"]),
        event_type=resource.body.get("eventType"),
        event_value_threshold=float(threshold) if threshold else None,
        excluded_columns=columns.get("excludedDatasetColumns", {}),
        included_columns=columns.get("includedDatasetColumns", {}),
    )
