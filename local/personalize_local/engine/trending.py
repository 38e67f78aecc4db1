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
# What is usual is learned from so many spans before the newest.
SPANS_BEFORE = 24
# A span with fewer interactions than there are items cannot tell which of them rise; so many do for any catalogue.
ENOUGH_INTERACTIONS = 5_000
# Imagined interactions with every item: one or two with an item that never had any are chance, no trend.
PRIOR = 5.0
# The metrics are means over forecasts for so many of the newest spans.
FORECASTS = 10
ACCURACY = "trend_prediction_accuracy"
ACCURACY_OF_POPULAR = "trend_prediction_accuracy_of_popular_items"


class TrendingNow(Recommender):
    """Give everyone the items that rose most above their usual share of the interactions.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-trending-now.html
    The newest span ends with the newest interaction and is `trend_discovery_frequency` long, or as many times
    that as it takes to hold as many interactions as there are items, at most 5,000: an hour at night in a
    shop says nothing about its products. The rise is measured in standard deviations over what the 24 spans before
    lead to expect. Items that do not rise follow by popularity.
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
        """Measure the rise of all items, and how well rises of the past foretold what came next."""
        window = read_choice(
            hyperparameters, "trend_discovery_frequency", DEFAULT_FREQUENCY, FREQUENCIES_SECONDS
        )
        interactions = encode(data)
        catalogue = describe_items(data, interactions)
        span = enough_seconds(interactions, window)
        shown = min(LIST_LENGTH, len(catalogue)) / len(catalogue)
        metrics = {COVERAGE: shown, **forecast_accuracy(interactions, span)}
        order = best_first(rises(interactions, span, interactions.latest), catalogue.users)
        return TrainedModel(cls(catalogue, order), metrics)


def enough_seconds(interactions: Interactions, window: float) -> float:
    """Stretch the window to a multiple of it that holds enough interactions, at most a third of all the time."""
    back = ((interactions.latest - interactions.time) // window).astype(np.int64)
    enough = min(ENOUGH_INTERACTIONS, len(np.unique(interactions.item)))
    # By the row that is enough: counting per window would take memory for every window since the oldest row.
    windows = int(np.partition(back, enough - 1)[enough - 1]) + 1
    return window * max(1, min(windows, (int(back.max()) + 1) // 3))


def best_first(rise: FloatArray, users: IntArray) -> IntArray:
    """List item codes, the greatest rise first; ties, and what does not rise, by distinct users."""
    return np.lexsort((np.arange(len(rise)), -users, -np.maximum(0, rise)))


def counts(interactions: Interactions, span: float, end: float) -> tuple[FloatArray, FloatArray]:
    """Count interactions per item in the span before `end`, and what the spans before that let expect.

    Expected is the usual share of all interactions: at a busy hour not everything rises.
    """
    back = np.floor((end - interactions.time) / span)
    size = interactions.num_items
    now = np.bincount(interactions.item[back == 0], minlength=size)
    before = np.bincount(interactions.item[(back > 0) & (back <= SPANS_BEFORE)], minlength=size)
    return now.astype(np.float64), before * (now.sum() / max(1, before.sum()))


def rises(interactions: Interactions, span: float, end: float) -> FloatArray:
    """Measure how far the span before `end` lies above what was to be expected, in standard deviations."""
    now, usual = counts(interactions, span, end)
    # Counts of events spread like their square root.
    return np.asarray((now - usual) / np.sqrt(usual + PRIOR))


def forecast_accuracy(interactions: Interactions, span: float) -> dict[str, float]:
    """Measure how much of a span's rise was in the 25 items that rose most just before it.

    The guide describes the metric as the increase of what is recommended over that of the 25 items that rise most,
    without key and formula. Ours: both are interactions above the usual number; the mean over the newest ten
    spans, 0 where it is below. The same of the 25 most popular items is what it compares with.
    """
    newest = interactions.latest - span * np.arange(FORECASTS)
    recent = interactions.where(interactions.time > newest[-1] - (SPANS_BEFORE + 2) * span)
    found: dict[str, list[float]] = {ACCURACY: [], ACCURACY_OF_POPULAR: []}
    for end in newest[newest - 2 * span > interactions.time.min()]:
        now, usual = counts(recent, span, end)
        increase = now - usual
        most = float(np.sort(increase)[-LIST_LENGTH:].clip(0).sum())
        popular = np.bincount(recent.item[recent.time <= end - span], minlength=recent.num_items)
        foretold = best_first(rises(recent, span, end - span), popular)
        for name, order in ((ACCURACY, foretold), (ACCURACY_OF_POPULAR, best_first(0.0 * usual, popular))):
            if most > 0:
                found[name].append(float(increase[order[:LIST_LENGTH]].sum()) / most)
    return {name: max(0.0, float(np.mean(values))) if values else 0.0 for name, values in found.items()}
