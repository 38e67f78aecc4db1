"""Bring items that came after the training into a batch job, as the service's automatic update does.

User-Personalization and its v2 consider new items when the job names the newest fully trained version. Nothing is
billed for it, and no version is made:
https://docs.aws.amazon.com/personalize/latest/dg/how-new-data-influences-batch-recommendations.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from personalize_local import engine
from personalize_local.datasets.training_data import TrainingRequest, read_training_data
from personalize_local.errors import JobFailed
from personalize_local.jobs.training import training_request
from personalize_local.recipes import get_recipe
from personalize_local.resources import ACTIVE, SOLUTION_VERSION, Resource
from personalize_local.store import Store

_UPDATED = frozenset({"aws-user-personalization", "aws-user-personalization-v2"})
_ITEMS, _INTERACTIONS = "ITEMS", "INTERACTIONS"


@dataclass(frozen=True)
class NewItems:
    """The rows that a model's items are taken from."""

    request: TrainingRequest

    def add_to(self, model: engine.Recommender) -> engine.Recommender:
        """Return the model with the new items; too few rows leave it as it is."""
        try:
            return model.with_items(read_training_data(self.request))
        except JobFailed:
            return model


def new_items(store: Store, version: Resource) -> NewItems | None:
    """Return the items that came after the training; None when there are none, or the service ignores them."""
    created = version.body["creationDateTime"]
    if get_recipe(version.body["recipeArn"]).name not in _UPDATED or not _is_newest_full(store, version):
        return None
    request = training_request(store, version)
    items, events = request.datasets.get(_ITEMS), request.datasets.get(_INTERACTIONS)
    if items is None or events is None or not any(_is_newer(part, created) for part in items.parts):
        return None
    # Interactions after the training count for users with streamed events only: see `streamed_histories`.
    trained = tuple(part for part in events.parts if not _is_newer(part, created))
    if not trained:
        return None
    datasets = {**request.datasets, _INTERACTIONS: replace(events, parts=trained)}
    return NewItems(replace(request, datasets=datasets))


def _is_newest_full(store: Store, version: Resource) -> bool:
    versions = store.select(SOLUTION_VERSION.noun, parent_arn=version.parent_arn, statuses=[ACTIVE])
    fulls = [each for each in versions if each.body["trainingMode"] == "FULL"]
    return bool(fulls) and fulls[-1].arn == version.arn


def _is_newer(part: str, created: float) -> bool:
    return Path(part).stat().st_mtime > created
