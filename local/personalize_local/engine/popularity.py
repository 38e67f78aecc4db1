"""Recommend the same items to everyone: recipes aws-popularity-count and aws-trending-now."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.catalog import Catalog, describe_items
from personalize_local.engine.evaluation import COVERAGE, LIST_LENGTH, accuracy_of, coverage_of, split_users
from personalize_local.engine.inputs import TrainingData, read_choice
from personalize_local.engine.interactions import FloatArray, IntArray, Interactions, encode

ORDER_FILE = "order.json"
FREQUENCIES_SECONDS = {
    "30 minutes": 1_800.0,
    "1 hour": 3_600.0,
    "2 hours": 7_200.0,
    "3 hours": 10_800.0,
    "1 day": 86_400.0,
}
DEFAULT_FREQUENCY = "2 hours"
# Number of earlier spans that give the expected counts.
SPANS_BEFORE = 24
# Minimum interactions of a span: one per item, at most 5,000.
ENOUGH_INTERACTIONS = 5_000
# Pseudo-interactions per item: one or two interactions with an item without any before are noise.
PRIOR = 5.0
# Number of newest spans that the metrics forecast.
FORECASTS = 10
ACCURACY = "trend_prediction_accuracy"
ACCURACY_OF_POPULAR = "trend_prediction_accuracy_of_popular_items"


class PopularityCount(Recommender):
    """Recommend the same list to all users: items by their number of distinct users.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-popularity.html
    """

    recipe = "aws-popularity-count"
    has_scores = False
    wants = "user"

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._order = catalog.by_popularity()

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield the most popular items for every query."""
        items: list[str] = self.catalog.item_ids.take(self._order[:num_results]).to_pylist()
        for _ in queries:
            yield Answer(list(items))

    def write(self, folder: Path) -> None:
        """Write the catalog with its counts."""
        self.catalog.write(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the catalog back."""
        return cls(Catalog.read(folder))

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Count distinct users; the recipe has no hyperparameters, any given are ignored."""
        interactions = encode(data)
        split = split_users(interactions)
        metrics = accuracy_of(cls(describe_items(data, split.train)), split.labels)
        model = cls(describe_items(data, interactions))
        return TrainedModel(model, metrics | coverage_of(model, interactions))


class TrendingNow(Recommender):
    """Recommend to all users the items that rose most above their usual share of the interactions.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-trending-now.html
    The newest span ends with the newest interaction. Its length is a multiple of `trend_discovery_frequency`, such that
    it holds one interaction per item, at most 5,000. The rise is measured in standard deviations above the count
    expected from the 24 spans before. Items that do not rise follow by popularity.
    """

    recipe = "aws-trending-now"
    has_scores = False
    wants = "user"

    def __init__(self, catalog: Catalog, order: IntArray) -> None:
        self.catalog = catalog
        self._order = order

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield the same items for every query."""
        items: list[str] = self.catalog.item_ids.take(pa.array(self._order[:num_results])).to_pylist()
        for _ in queries:
            yield Answer(list(items))

    def write(self, folder: Path) -> None:
        """Write the catalog and the order of its items."""
        self.catalog.write(folder)
        (folder / ORDER_FILE).write_text(json.dumps(self._order.tolist()))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what :meth:`write` wrote."""
        order = np.array(json.loads((folder / ORDER_FILE).read_text()), dtype=np.int64)
        return cls(Catalog.read(folder), order)

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Measure the rise of all items, and the accuracy of earlier forecasts."""
        window = read_choice(
            hyperparameters, "trend_discovery_frequency", DEFAULT_FREQUENCY, FREQUENCIES_SECONDS
        )
        interactions = encode(data)
        catalog = describe_items(data, interactions)
        span = enough_seconds(interactions, window)
        shown = min(LIST_LENGTH, len(catalog)) / len(catalog)
        metrics = {COVERAGE: shown, **forecast_accuracy(interactions, span)}
        order = best_first(rises(interactions, span, interactions.latest), catalog.users)
        return TrainedModel(cls(catalog, order), metrics)


def enough_seconds(interactions: Interactions, window: float) -> float:
    """Return a multiple of the window that holds enough interactions, at most a third of the whole time."""
    back = ((interactions.latest - interactions.time) // window).astype(np.int64)
    enough = min(ENOUGH_INTERACTIONS, len(np.unique(interactions.item)))
    # Partition rows instead of counting per window, which would need memory for every window since the oldest row.
    windows = int(np.partition(back, enough - 1)[enough - 1]) + 1
    return window * max(1, min(windows, (int(back.max()) + 1) // 3))


def best_first(rise: FloatArray, users: IntArray) -> IntArray:
    """List item codes, the greatest rise first; ties and items that do not rise by distinct users."""
    return np.lexsort((np.arange(len(rise)), -users, -np.maximum(0, rise)))


def counts(interactions: Interactions, span: float, end: float) -> tuple[FloatArray, FloatArray]:
    """Count interactions per item in the span before `end`, and the expected count from the spans before.

    The expected count is the item's usual share of all interactions of the span.
    """
    back = np.floor((end - interactions.time) / span)
    size = interactions.num_items
    now = np.bincount(interactions.item[back == 0], minlength=size)
    before = np.bincount(interactions.item[(back > 0) & (back <= SPANS_BEFORE)], minlength=size)
    return now.astype(np.float64), before * (now.sum() / max(1, before.sum()))


def rises(interactions: Interactions, span: float, end: float) -> FloatArray:
    """Measure the rise of the span before `end` above the expected count, in standard deviations."""
    now, usual = counts(interactions, span, end)
    # Counts have a standard deviation of their square root (Poisson).
    return np.asarray((now - usual) / np.sqrt(usual + PRIOR))


def forecast_accuracy(interactions: Interactions, span: float) -> dict[str, float]:
    """Measure the share of a span's rise that the 25 items with the most rise in the span before account for.

    The guide describes the metric as the increase of the recommended items relative to that of the 25 items that rise
    most, without key and formula. Here an increase is the interactions above the expected count, and the metric is the
    mean over the newest ten spans, at least 0. The baseline is the same metric for the 25 most popular items.
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
