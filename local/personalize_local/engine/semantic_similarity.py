"""Recommend items with similar texts: recipe aws-semantic-similarity."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from personalize_local.engine.base import Options, TrainedModel
from personalize_local.engine.catalog import SECONDS_PER_DAY, Catalog, describe_items
from personalize_local.engine.evaluation import LIST_LENGTH
from personalize_local.engine.inputs import TrainingData, TrainingDataError
from personalize_local.engine.interactions import Float32Array, IntArray, encode, sorted_ids
from personalize_local.engine.item_metadata import compress, metadata_matrix
from personalize_local.engine.related import RelatedItems, compare, related_coverage

VECTORS_FILE = "text_vectors.npy"
DIMENSIONS = 128
# Similarities below this are rounding errors of texts without a common word.
UNRELATED = 1e-4
# Items to measure; the guide allows catalogs of 10 million.
MAX_MEASURED_ITEMS = 1_000
INFLUENCES = ("POPULARITY", "FRESHNESS")


class SemanticSimilarity(RelatedItems):
    """Compare items by the words of their names and descriptions (TF-IDF, reduced by SVD).

    The service's text encoder is not published. `ranking_influence` prefers popular or fresh items among similar
    ones: a weight of 1 counts as much as the texts. Interactions are not needed.
    """

    recipe = "aws-semantic-similarity"

    def __init__(self, catalog: Catalog, vectors: Float32Array) -> None:
        super().__init__(catalog)
        self._vectors = vectors
        self._standing = {
            "POPULARITY": share_below(np.asarray(catalog.users)),
            "FRESHNESS": share_below(-catalog.age_days),
        }

    def similarities(self, items: IntArray, options: Options) -> Float32Array:
        """Multiply text vectors and apply the ranking influences; unrelated items stay at 0."""
        near = compare(self._vectors, items)
        near[near < UNRELATED] = 0
        influence = np.ones(len(self.catalog))
        for name in INFLUENCES:
            influence = influence + float(options.ranking_influence.get(name, 0.0)) * self._standing[name]
        return np.asarray(near * influence, dtype=np.float32)

    def write(self, folder: Path) -> None:
        """Write catalog and vectors."""
        self.catalog.write(folder)
        np.save(folder / VECTORS_FILE, self._vectors)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what :meth:`write` wrote."""
        return cls(Catalog.read(folder), np.load(folder / VECTORS_FILE))

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Vectorise the texts; no rows are held out."""
        items = data.described_items(cls.recipe)
        named = [name for name in (data.item_text.name, data.item_text.textual) if name is not None]
        if len(named) < 2:
            raise TrainingDataError(
                f"Recipe {cls.recipe} needs an Items schema with one itemName field and one textual field."
            )
        catalog = catalog_of(data, items)
        matrix = metadata_matrix(items.select(["ITEM_ID", *named]), catalog.item_ids, data.item_text)
        if matrix is None:
            raise TrainingDataError(f"The columns {' and '.join(named)} of Items hold no words.")
        model = cls(catalog, compress(matrix, DIMENSIONS))
        return TrainedModel(model, related_coverage(model) | model.likeness())

    def likeness(self) -> dict[str, float]:
        """Measure similarity, popularity and freshness of the 25 most similar items, each 0 to 1.

        The service names three such metrics without publishing keys or formulas: these are ours.
        """
        size = len(self.catalog)
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
    """Return the share of the other values below each value, 0 to 1."""
    rank = np.searchsorted(np.sort(values), values, side="left")
    return (rank / max(1, len(values) - 1)).astype(np.float32)


def catalog_of(data: TrainingData, items: pa.Table) -> Catalog:
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
    return Catalog(item_ids, none, none, age_days, created, np.zeros(len(item_ids), dtype=np.bool_), none)
