"""Recommend what rises fastest: recipe aws-trending-now."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.catalogue import Catalogue, describe_items
from personalize_local.engine.data import TrainingData
from personalize_local.engine.hyperparameters import read_choice
from personalize_local.engine.interactions import FloatArray, IntArray, Interactions, encode
from personalize_local.engine.metrics import COVERAGE, LIST_LENGTH

ORDER_FILE = "order.json"
FREQUENCIES_SECONDS = {
    "30 minutes": 1_800.0,
    "1 hour": 3_600.0,
    "2 hours": 7_200.0,
    "3 hours": 10_800.0,
    "1 day": 86_400.0,
}
DEFAULT_FREQUENCY = "2 hours"
# What is usual is learned from so many windows before the newest.
WINDOWS_BEFORE = 24
# Keeps one interaction with an item that never had any from being the greatest rise of all.
PRIOR = 1.0
ACCURACY = "trend_prediction_accuracy"


class TrendingNow(Recommender):
    """Give everyone the items whose interactions rose most over the newest window.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-trending-now.html
    The window is `trend_discovery_frequency` long and ends with the newest interaction. The rise is measured
    in standard deviations over the mean of the 24 windows before. Items that do not rise follow by popularity.
    """

    recipe = "aws-trending-now"
    has_scores = False
    wants = "user"

    def __init__(self, catalogue: Catalogue, order: IntArray) -> None:
        self.catalogue = catalogue
        self._order = order

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield the same items for every query."""
        items: list[str] = self.catalogue.item_ids.take(pa.array(self._order[:num_results])).to_pylist()
        for _ in queries:
            yield Answer(list(items))

    def write(self, folder: Path) -> None:
        """Write the catalogue and the order of its items."""
        self.catalogue.write(folder)
        (folder / ORDER_FILE).write_text(json.dumps(self._order.tolist()))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read both back."""
        order = np.array(json.loads((folder / ORDER_FILE).read_text()), dtype=np.int64)
        return cls(Catalogue.read(folder), order)

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Measure the rise of all items.

        The service's trend metrics are published without keys and formulas. Ours: of the 25 items that rose most
        up to one window ago, the share that the newest window still finds above their mean; and coverage.
        """
        window = read_choice(
            hyperparameters, "trend_discovery_frequency", DEFAULT_FREQUENCY, FREQUENCIES_SECONDS
        )
        interactions = encode(data)
        catalogue = describe_items(data, interactions)
        order = rank(interactions, catalogue, window, interactions.latest)
        earlier = interactions.where(interactions.time <= interactions.latest - window)
        accuracy = 0.0
        if len(earlier):
            foretold = rank(earlier, catalogue, window, int(interactions.latest - window))[:LIST_LENGTH]
            accuracy = float((rises(interactions, window, interactions.latest)[foretold] > 0).mean())
        shown = min(LIST_LENGTH, len(catalogue)) / len(catalogue)
        return TrainedModel(cls(catalogue, order), {COVERAGE: shown, ACCURACY: accuracy})


def rank(interactions: Interactions, catalogue: Catalogue, window: float, end: int) -> IntArray:
    """List item codes, the greatest rise first, ties and what does not rise by popularity."""
    rise = np.maximum(0, rises(interactions, window, end))
    position = np.empty(len(catalogue), dtype=np.int64)
    position[catalogue.by_popularity()] = np.arange(len(catalogue))
    return np.lexsort((position, -rise))


def rises(interactions: Interactions, window: float, end: int) -> FloatArray:
    """Measure how far the newest window lies above the mean of those before, in standard deviations."""
    back = np.floor((end - interactions.time) / window)
    size = interactions.num_items
    now = np.bincount(interactions.item[back == 0], minlength=size)
    before = np.bincount(interactions.item[(back > 0) & (back <= WINDOWS_BEFORE)], minlength=size)
    seen = min(float(WINDOWS_BEFORE), max(1.0, float(back.max(initial=1))))
    usual = before / seen
    # Counts of events spread like their square root.
    return np.asarray((now - usual) / np.sqrt(usual + PRIOR))
