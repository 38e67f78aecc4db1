"""Find the users most likely to take an item: recipe aws-item-affinity."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.data import TrainingData
from personalize_local.engine.interactions import IntArray, Interactions, encode
from personalize_local.engine.segment_metrics import measure_segments, split_rows
from personalize_local.engine.segments import UserScorer, best_users, learn_weights, model_of
from personalize_local.engine.split import hash_ids
from personalize_local.engine.user_personalization import UserPersonalization
from personalize_local.engine.weights import Settings

# Metrics over more items than this would say the same.
MAX_MEASURED_ITEMS = 300


class ItemAffinity(Recommender):
    """Order all users by their odds of taking the item next, own items by habit, others by taste.

    https://docs.aws.amazon.com/personalize/latest/dg/item-affinity-recipe.html
    """

    recipe: ClassVar[str] = "aws-item-affinity"
    has_scores = False
    wants = "segment_item"

    def __init__(self, users: UserPersonalization) -> None:
        self._model = users
        self._scorer = UserScorer(users)

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield user ids; an error for items that the training did not know."""
        ids = pa.array([query.item_id or "" for query in queries], pa.string())
        items = pc.fill_null(pc.index_in(ids, value_set=self._model.catalogue.item_ids), -1).to_pylist()
        for query, item in zip(queries, items, strict=True):
            if item < 0:
                error = f"User error: The item {query.item_id} is not part of the training data"
                yield Answer([], error=error)
            else:
                users = best_users(self._scorer.for_item(item), num_results)
                yield Answer(self._scorer.user_ids.take(pa.array(users)).to_pylist())

    def write(self, folder: Path) -> None:
        """Write the user model."""
        self._model.write(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the user model back."""
        return cls(UserPersonalization.read(folder))

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Measure on the newest fifth of every user's rows, then refit on all."""
        settings = Settings.parse(hyperparameters)
        interactions = encode(data)
        train, labels = split_rows(interactions)
        trial = learn_weights(train, settings)
        scorer = UserScorer(model_of(data, train, trial))
        metrics = measure_segments(scorer, labels, measured_items(labels))
        return TrainedModel(
            cls(model_of(data, interactions, learn_weights(interactions, settings, trial))), metrics
        )


def measured_items(labels: Interactions) -> list[IntArray]:
    """Choose items to measure by the hashes of their ids, each a set of its own."""
    items = np.unique(labels.item)
    if len(items) > MAX_MEASURED_ITEMS:
        hashes = hash_ids(labels.item_ids.take(pa.array(items)).to_pylist(), "measured")
        items = np.sort(items[np.argsort(hashes, kind="stable")[:MAX_MEASURED_ITEMS]])
    return [np.array([item]) for item in items]
