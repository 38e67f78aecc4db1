"""Find the users most likely to take items with some attributes: recipe aws-item-attribute-affinity."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.engine.attribute_expressions import (
    Condition,
    ExpressionError,
    matching,
    parse_attributes,
)
from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.data import TrainingData
from personalize_local.engine.interactions import IntArray, Interactions, codes, encode
from personalize_local.engine.segment_metrics import measure_segments, split_rows
from personalize_local.engine.segments import UserScorer, best_users, learn_weights, model_of
from personalize_local.engine.user_personalization import UserPersonalization
from personalize_local.engine.weights import Settings

ITEMS_FILE = "attributes.parquet"
TEXT_FILE = "textual.json"
# Metrics over more attribute values than this would say the same; the most frequent ones are taken.
MAX_MEASURED_VALUES = 50


class ItemAttributeAffinity(Recommender):
    """Order all users by how many items with the attributes they are expected to take next.

    https://docs.aws.amazon.com/personalize/latest/dg/item-attribute-affinity-recipe.html
    """

    recipe = "aws-item-attribute-affinity"
    has_scores = False
    wants = "segment_attributes"

    def __init__(self, users: UserPersonalization, items: pa.Table, textual: str | None) -> None:
        self._model = users
        self._scorer = UserScorer(users)
        self._items = items
        self._textual = textual
        self._place = codes(items.column("ITEM_ID"), users.catalogue.item_ids)

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield user ids: none when no item has the attributes, an error for what cannot be read."""
        for query in queries:
            try:
                rows = matching(self._items, parse_attributes(query.attributes or ""), self._textual)
            except ExpressionError as error:
                yield Answer([], error=f"User error: {error}")
                continue
            scores = self._scorer.for_items(np.unique(self._place[rows]))
            users = best_users(scores, num_results)
            yield Answer(self._scorer.user_ids.take(pa.array(users)).to_pylist())

    def write(self, folder: Path) -> None:
        """Write the user model and the attributes."""
        self._model.write(folder)
        pq.write_table(self._items, folder / ITEMS_FILE)
        (folder / TEXT_FILE).write_text(json.dumps(self._textual))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read both back."""
        textual = json.loads((folder / TEXT_FILE).read_text())
        return cls(UserPersonalization.read(folder), pq.read_table(folder / ITEMS_FILE), textual)

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Measure on the newest fifth of every user's rows, then refit on all.

        :raises TrainingDataError: without Items.
        """
        settings = Settings.parse(hyperparameters)
        items = data.described_items(cls.recipe)
        textual = data.item_text.textual
        interactions = encode(data)
        train, labels = split_rows(interactions)
        trial = learn_weights(train, settings)
        scorer = UserScorer(model_of(data, train, trial))
        metrics = measure_segments(scorer, labels, measured_sets(items, textual, interactions))
        users = model_of(data, interactions, learn_weights(interactions, settings, trial))
        return TrainedModel(cls(users, items, textual), metrics)


def measured_sets(items: pa.Table, textual: str | None, interactions: Interactions) -> list[IntArray]:
    """List the items of the most frequent categories, one set per category."""
    place = codes(items.column("ITEM_ID"), interactions.item_ids)
    sets = []
    for name in items.column_names:
        if name in {"ITEM_ID", textual} or not pa.types.is_string(items.column(name).type):
            continue
        values = pc.list_flatten(pc.split_pattern(items.column(name).combine_chunks(), "|"))
        for value in values.drop_null().unique().to_pylist():
            sets.append(np.unique(place[matching(items, [Condition(name, value)], textual)]))
            if len(sets) > 10 * MAX_MEASURED_VALUES:
                break
    sets.sort(key=lambda found: (-len(found), found.tolist()))
    # A category that all items have tells nobody apart.
    return [found for found in sets if len(found) < interactions.num_items][:MAX_MEASURED_VALUES]
