"""Recommend items whose texts mean the same: recipe aws-semantic-similarity."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from personalize_local.engine.base import Options, TrainedModel
from personalize_local.engine.catalogue import SECONDS_PER_DAY, Catalogue, describe_items
from personalize_local.engine.data import TrainingData
from personalize_local.engine.errors import TrainingDataError
from personalize_local.engine.interactions import Float32Array, IntArray, encode, sorted_ids
from personalize_local.engine.item_metadata import compress, metadata_matrix
from personalize_local.engine.metrics import LIST_LENGTH
from personalize_local.engine.related import RelatedItems, compare, related_coverage

VECTORS_FILE = "text_vectors.npy"
DIMENSIONS = 128
# What is left of two texts without a common word after rounding.
UNRELATED = 1e-4
# The guide allows 10 million items; metrics over so many of them are near enough.
MAX_MEASURED_ITEMS = 1_000
INFLUENCES = ("POPULARITY", "FRESHNESS")


class SemanticSimilarity(RelatedItems):
    """Compare items by the words of their names and descriptions (TF-IDF, reduced by SVD).

    The service's text encoder is not published. `ranking_influence` moves popular or fresh items forward
    among those alike: a weight of 1 counts as much as the texts do. Interactions are not needed.
    """

    recipe = "aws-semantic-similarity"

    def __init__(self, catalogue: Catalogue, vectors: Float32Array) -> None:
        super().__init__(catalogue)
        self._vectors = vectors
        self._standing = {
            "POPULARITY": share_below(np.asarray(catalogue.users)),
            "FRESHNESS": share_below(-catalogue.age_days),
        }

    def similarities(self, items: IntArray, options: Options) -> Float32Array:
        """Multiply text vectors and add what influences the ranking; unrelated items stay at 0."""
        near = compare(self._vectors, items)
        near[near < UNRELATED] = 0
        influence = np.ones(len(self.catalogue))
        for name in INFLUENCES:
            influence = influence + float(options.ranking_influence.get(name, 0.0)) * self._standing[name]
        return np.asarray(near * influence, dtype=np.float32)

    def write(self, folder: Path) -> None:
        """Write catalogue and vectors."""
        self.catalogue.write(folder)
        np.save(folder / VECTORS_FILE, self._vectors)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read both back."""
        return cls(Catalogue.read(folder), np.load(folder / VECTORS_FILE))

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Read the texts; there is nothing to hold out."""
        items = data.described_items(cls.recipe)
        named = [name for name in (data.item_text.name, data.item_text.textual) if name is not None]
        if len(named) < 2:
            raise TrainingDataError(
                f"Recipe {cls.recipe} needs an Items schema with one itemName field and one textual field."
            )
        catalogue = catalogue_of(data, items)
        matrix = metadata_matrix(items.select(["ITEM_ID", *named]), catalogue.item_ids, data.item_text)
        if matrix is None:
            raise TrainingDataError(f"The columns {' and '.join(named)} of Items hold no words.")
        model = cls(catalogue, compress(matrix, DIMENSIONS))
        return TrainedModel(model, related_coverage(model) | model.likeness())

    def likeness(self) -> dict[str, float]:
        """Measure the 25 nearest of some items: how alike, how popular and how fresh they are, each 0 to 1.

        The service names three such metrics without publishing keys or formulas: these are ours.
        """
        size = len(self.catalogue)
        items = np.unique(np.linspace(0, size - 1, min(size, MAX_MEASURED_ITEMS)).astype(np.int64))
        near = self.similarities(items, Options())
        near[np.arange(len(items)), items] = 0
        best = np.argsort(-near, axis=1, kind="stable")[:, : min(LIST_LENGTH, max(1, size - 1))]
        return {
            "item_similarity": float(np.clip(np.take_along_axis(near, best, axis=1), 0, 1).mean()),
            "item_popularity": float(self._standing["POPULARITY"][best].mean()),
            "item_freshness": float(self._standing["FRESHNESS"][best].mean()),
        }


def share_below(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Float32Array:
    """Give each value the share of the others that lie below it, 0 to 1."""
    rank = np.searchsorted(np.sort(values), values, side="left")
    return (rank / max(1, len(values) - 1)).astype(np.float32)


def catalogue_of(data: TrainingData, items: pa.Table) -> Catalogue:
    """Describe the items, with or without interactions."""
    if data.interactions.num_rows:
        return describe_items(data, encode(data))
    item_ids = sorted_ids(items.column("ITEM_ID"))
    none = np.zeros(len(item_ids), dtype=np.int64)
    created, age_days = np.zeros(len(item_ids), dtype=np.bool_), np.zeros(len(item_ids))
    if "CREATION_TIMESTAMP" in items.column_names:
        place = np.searchsorted(np.asarray(item_ids.to_pylist()), np.asarray(items["ITEM_ID"].to_pylist()))
        times = np.full(len(item_ids), np.nan)
        times[place] = items["CREATION_TIMESTAMP"].cast(pa.float64()).to_numpy()
        created = ~np.isnan(times)
        if created.any():
            age_days = np.nan_to_num((np.nanmax(times) - times) / SECONDS_PER_DAY)
    return Catalogue(item_ids, none, none, age_days, created, np.zeros(len(item_ids), dtype=np.bool_))
