"""Tell batch jobs what users did since their model was trained.

Only the user and ranking recipes look at it, and only at events that were recorded 15 minutes before the job:
https://docs.aws.amazon.com/personalize/latest/dg/getting-batch-recommendations.html
"""

from __future__ import annotations

from pathlib import Path

from personalize_local.datasets.streamed import StreamedHistories, TrainedEvents
from personalize_local.jobs.dataset_files import dataset_parts
from personalize_local.jobs.job import Surroundings
from personalize_local.recipes import get_recipe
from personalize_local.resources import ACTIVE, DATASET, Resource, now_seconds

_LOOK_AT_EVENTS = frozenset({"USER_PERSONALIZATION", "PERSONALIZED_RANKING"})


def streamed_histories(around: Surroundings, version: Resource) -> StreamedHistories | None:
    """Return what a batch job with this solution version is told, None when there is nothing to tell."""
    if get_recipe(version.body["recipeArn"]).recipe_type not in _LOOK_AT_EVENTS:
        return None
    group_arn = version.body["datasetGroupArn"]
    parts = dataset_parts(around.store, group_arn).get("INTERACTIONS")
    datasets = around.store.select(DATASET.noun, parent_arn=group_arn, statuses=[ACTIVE])
    streamed = [
        part
        for dataset in datasets
        if dataset.body["datasetType"] == "INTERACTIONS"
        for part in dataset.internal.get("put_parts", [])
        # What was in a file when the version was asked for, it has been trained on.
        if Path(part).stat().st_mtime > version.body["creationDateTime"]
    ]
    if parts is None or not streamed:
        return None
    until = now_seconds() - around.event_age_seconds
    return StreamedHistories(parts, tuple(streamed), TrainedEvents.of_version(version.body), until)
