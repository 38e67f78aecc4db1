"""Recommend items alike in behaviour and metadata: recipe aws-similar-items."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy import sparse

from personalize_local.engine.base import Options, TrainedModel
from personalize_local.engine.catalog import Catalog, describe_items
from personalize_local.engine.evaluation import split_users
from personalize_local.engine.inputs import TrainingData, read_number, read_whole_number
from personalize_local.engine.interactions import Float32Array, FloatArray, IntArray, Interactions, encode
from personalize_local.engine.item_metadata import compress, directions, metadata_matrix, unit
from personalize_local.engine.related import RelatedItems, compare, related_accuracy, related_coverage

VECTORS_FILE = "item_vectors.npy"
SETTINGS_FILE = "similar_items.json"

# With 5 users, behaviour and metadata count the same; the guide says that metadata dominates below 5 interactions.
TRUSTED_USERS = 5.0
# Share of metadata in the similarity, also of well-known items.
METADATA_SHARE = 0.2
# The product of two vectors approximates the cosine, shared users / (users of i x users of j) ** 0.5. Discount 0
# multiplies it by (users of j) ** 0.5, which gives the share of i's users who took j; 0.5 keeps it; 1 gives the lift.
POPULARITY_EXPONENT = 0.5
# Pseudo-users per item with average behaviour: 5 at discount 0, falling linearly to 0 at 0.5.
AVERAGE_USERS = 5.0
RIDGE = 1.0


@dataclass(frozen=True)
class SimilarSettings:
    """Hyperparameters of aws-similar-items with their defaults.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-similar-items.html
    """

    discount: float = 0.0
    behaviour_size: int = 100
    metadata_size: int = 100

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> "SimilarSettings":
        """Read the API's strings; raise :class:`HyperparameterError`."""
        return cls(
            read_number(given, "popularity_discount_factor", cls.discount, 0, 1),
            read_whole_number(given, "item_id_hidden_dim", cls.behaviour_size, 30, 200),
            read_whole_number(given, "item_metadata_hidden_dim", cls.metadata_size, 30, 200),
        )


class SimilarItems(RelatedItems):
    """Compare items by one vector each, of behaviour and metadata.

    The behaviour of items with few users is predicted from their metadata, so that new items have related items.
    """

    recipe = "aws-similar-items"

    def __init__(self, catalog: Catalog, vectors: Float32Array, discount: float, num_users: int) -> None:
        super().__init__(catalog)
        self._vectors = vectors
        self._discount, self._num_users = discount, num_users
        users = np.asarray(catalog.users, dtype=np.float64)
        likes = 1 - 2 * discount
        self._favour = ((users + 1) ** (POPULARITY_EXPONENT * likes)).astype(np.float32)
        average = AVERAGE_USERS * max(0.0, likes) * users / max(1, num_users)
        self._average = average.astype(np.float32)
        self._few = (1 / np.sqrt(np.maximum(1, users))).astype(np.float32)

    def similarities(self, items: IntArray, options: Options) -> Float32Array:
        """Multiply vectors; prefer popular items unless discounted, most strongly for items with few users."""
        near = compare(self._vectors, items) * self._favour
        if self._average.any():
            near += self._few[items][:, None] * self._average
        return np.asarray(near)

    def write(self, folder: Path) -> None:
        """Write catalog, vectors and settings."""
        self.catalog.write(folder)
        np.save(folder / VECTORS_FILE, self._vectors)
        settings = {"discount": self._discount, "num_users": self._num_users}
        (folder / SETTINGS_FILE).write_text(json.dumps(settings))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what :meth:`write` wrote."""
        settings = json.loads((folder / SETTINGS_FILE).read_text())
        return cls(Catalog.read(folder), np.load(folder / VECTORS_FILE), **settings)

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Measure on held-out users, then learn from all."""
        settings = SimilarSettings.parse(hyperparameters)
        interactions = encode(data)
        split = split_users(interactions)
        metadata = metadata_vectors(data, interactions, settings)
        metrics = related_accuracy(cls._learn(data, split.train, metadata, settings), split)
        model = cls._learn(data, interactions, metadata, settings)
        return TrainedModel(model, metrics | related_coverage(model))

    @classmethod
    def _learn(
        cls, data: TrainingData, rows: Interactions, metadata: Float32Array, settings: SimilarSettings
    ) -> Self:
        catalog = describe_items(data, rows)
        users = catalog.users.astype(np.float64)
        vectors = join(behaviour_vectors(rows, users, settings), metadata, users)
        return cls(catalog, vectors, settings.discount, len(np.unique(rows.user)))


def metadata_vectors(
    data: TrainingData, interactions: Interactions, settings: SimilarSettings
) -> Float32Array:
    """Return metadata vectors of items; no columns without metadata."""
    matrix = (
        None if data.items is None else metadata_matrix(data.items, interactions.item_ids, data.item_text)
    )
    if matrix is None:
        return np.zeros((interactions.num_items, 0), dtype=np.float32)
    return compress(matrix, settings.metadata_size)


def behaviour_vectors(rows: Interactions, users: FloatArray, settings: SimilarSettings) -> Float32Array:
    """Return vectors of items whose products approximate the cosine of shared users."""
    matrix = sparse.csr_matrix(
        (np.ones(len(rows)), (rows.user, rows.item)), shape=(rows.num_users, rows.num_items), dtype=np.float32
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    matrix = matrix @ sparse.diags((1 / np.sqrt(np.maximum(1, users))).astype(np.float32))
    vectors, scale = directions(matrix, settings.behaviour_size)
    return unit(vectors.T * scale)


def join(behaviour: Float32Array, metadata: Float32Array, users: FloatArray) -> Float32Array:
    """Concatenate both vectors; predict the behaviour of items with few users from their metadata."""
    if metadata.shape[1] == 0:
        return behaviour
    well_known = users >= TRUSTED_USERS
    trust = (users / (users + TRUSTED_USERS))[:, None].astype(np.float32)
    known = metadata[well_known]
    gram = known.T @ known + RIDGE * np.eye(metadata.shape[1], dtype=np.float32)
    guess = unit(metadata @ np.linalg.solve(gram, known.T @ behaviour[well_known]))
    blended = unit(trust * behaviour + (1 - trust) * guess)
    parts = [np.sqrt(1 - METADATA_SHARE) * blended, np.sqrt(METADATA_SHARE) * metadata]
    return np.hstack(parts).astype(np.float32)
