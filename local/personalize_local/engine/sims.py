"""Recommend items that share users with an item: recipe aws-sims."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy import sparse

from personalize_local.engine.base import Options, TrainedModel
from personalize_local.engine.catalog import Catalog, describe_items
from personalize_local.engine.evaluation import split_users
from personalize_local.engine.inputs import TrainingData, read_number, read_whole_number
from personalize_local.engine.interactions import Float32Array, IntArray, Interactions, encode
from personalize_local.engine.related import RelatedItems, related_accuracy, related_coverage

MATRIX_FILE = "taken.npz"
SETTINGS_FILE = "sims.json"
# Shrinkage: a pair with 20 shared users counts half.
DOUBTED_USERS = 20.0


@dataclass(frozen=True)
class SimsSettings:
    """Hyperparameters of aws-sims with their defaults.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-sims.html
    `max_item_interaction_count_percentile` deviates: the service's default of 0.9 drops the most popular tenth of the
    items, which in a shop is most of the sales. Here the default drops none.
    """

    popularity_discount_factor: float = 0.5
    min_cointeraction_count: int = 3
    min_user_history_length_percentile: float = 0.005
    max_user_history_length_percentile: float = 0.995
    min_item_interaction_count_percentile: float = 0.01
    max_item_interaction_count_percentile: float = 1.0

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> "SimsSettings":
        """Read the API's strings; raise :class:`HyperparameterError`."""
        defaults = asdict(cls())
        count = read_whole_number(given, "min_cointeraction_count", cls.min_cointeraction_count, 0, 10)
        values = {
            name: read_number(given, name, default, 0, 1)
            for name, default in defaults.items()
            if name != "min_cointeraction_count"
        }
        return cls(min_cointeraction_count=count, **values)


class Sims(RelatedItems):
    """Compare items by the users they share: count / (users of i x users of j) ** discount.

    The default discount of 0.5 gives the cosine; 0 prefers popular items, 1 gives lift. The result is shrunk by
    count / (count + 20). Only the user-item matrix is stored; shared users are counted per query, because the item-item
    matrix of a large catalog would not fit into memory.
    """

    recipe = "aws-sims"

    def __init__(self, catalog: Catalog, taken: Any, settings: SimsSettings) -> None:
        super().__init__(catalog)
        self._taken = taken.tocsr()
        self._takers = self._taken.tocsc()
        self._settings = settings
        users = np.asarray(self._taken.sum(axis=0), dtype=np.float64).ravel()
        self._divisor = np.maximum(users, 1) ** settings.popularity_discount_factor

    def similarities(self, items: IntArray, options: Options) -> Float32Array:
        """Count shared users and discount."""
        shared = (self._takers[:, items].T @ self._taken).tocoo()
        enough = shared.data >= max(1, self._settings.min_cointeraction_count)
        row, item = shared.row[enough], shared.col[enough]
        near = np.zeros((len(items), len(self.catalog)), dtype=np.float32)
        count = shared.data[enough]
        shrunk = count * count / (count + DOUBTED_USERS)
        near[row, item] = shrunk / (self._divisor[items[row]] * self._divisor[item])
        return near

    def write(self, folder: Path) -> None:
        """Write catalog, matrix and settings."""
        self.catalog.write(folder)
        sparse.save_npz(folder / MATRIX_FILE, self._taken, compressed=False)
        (folder / SETTINGS_FILE).write_text(json.dumps(asdict(self._settings)))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what :meth:`write` wrote."""
        settings = SimsSettings(**json.loads((folder / SETTINGS_FILE).read_text()))
        return cls(Catalog.read(folder), sparse.load_npz(folder / MATRIX_FILE), settings)

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Measure on held-out users, then count all."""
        settings = SimsSettings.parse(hyperparameters)
        interactions = encode(data)
        split = split_users(interactions)
        trial = cls(describe_items(data, split.train), taken_matrix(split.train, settings), settings)
        metrics = related_accuracy(trial, split)
        model = cls(describe_items(data, interactions), taken_matrix(interactions, settings), settings)
        return TrainedModel(model, metrics | related_coverage(model))


def taken_matrix(interactions: Interactions, settings: SimsSettings) -> Any:
    """Build the matrix of users by items, without users and items outside the percentiles."""
    per_user = interactions.rows_per_user()
    per_item = np.bincount(interactions.item, minlength=interactions.num_items)
    kept = inside(
        per_user, settings.min_user_history_length_percentile, settings.max_user_history_length_percentile
    )[interactions.user]
    kept &= inside(
        per_item,
        settings.min_item_interaction_count_percentile,
        settings.max_item_interaction_count_percentile,
    )[interactions.item]
    entries = (np.ones(int(kept.sum())), (interactions.user[kept], interactions.item[kept]))
    shape = (interactions.num_users, interactions.num_items)
    matrix = sparse.csr_matrix(entries, shape=shape, dtype=np.float32)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def inside(counts: IntArray, low: float, high: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mark the counts between two percentiles of the counts above 0."""
    present = counts[counts > 0]
    if len(present) == 0:
        return np.zeros(len(counts), dtype=np.bool_)
    least, most = np.quantile(present, [min(low, high), high], method="lower")
    return np.asarray((counts >= least) & (counts <= most))
