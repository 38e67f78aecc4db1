"""Precompute and store the parts of all scores that do not depend on the query."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.engine.ensemble import (
    CHUNK_PAIRS,
    NEVER_REPEATED,
    affinity_of_pairs,
    repeat_features,
    user_embeddings,
)
from personalize_local.engine.evaluation import hash_ids
from personalize_local.engine.exploration import UintArray, mix
from personalize_local.engine.histories import Histories, summarise
from personalize_local.engine.interactions import Float32Array, IntArray, Interactions
from personalize_local.engine.weights import Weights

USERS_FILE = "users.parquet"
SALT = "checksum"


@dataclass(frozen=True)
class PrecomputedScores:
    """Score parts of all users and items.

    `own_score` has the log odds of own items, per user (`indptr`) and item (`own_item`). Those of other items are
    `vector[user] @ item_vector[item] + item_bias[item] + bias[user]`, calibrated by `Ensemble.calibration`. `checksum`
    changes with the user's rows.
    """

    user_ids: pa.Array
    indptr: IntArray
    own_item: IntArray
    own_score: Float32Array
    vector: Float32Array
    bias: Float32Array
    checksum: UintArray
    item_vector: Float32Array
    item_bias: Float32Array

    def users_of_items(self) -> IntArray:
        """Count the distinct users of every item, shape (items,)."""
        return np.bincount(self.own_item, minlength=len(self.item_bias))

    def write(self, folder: Path) -> None:
        """Write npy files, which are mapped on reading, not loaded."""
        pq.write_table(pa.table({"user_ids": self.user_ids}), folder / USERS_FILE)
        for name in array_names():
            np.save(folder / f"answers_{name}.npy", getattr(self, name))

    @classmethod
    def read(cls, folder: Path) -> "PrecomputedScores":
        """Read what :meth:`write` wrote."""
        user_ids = pq.read_table(folder / USERS_FILE).combine_chunks().column("user_ids").chunk(0)
        arrays = [np.load(folder / f"answers_{name}.npy", mmap_mode="r") for name in array_names()]
        return cls(user_ids, *arrays)


def array_names() -> Iterator[str]:
    """Return the names of the arrays in the order of the fields."""
    return (name for name in PrecomputedScores.__dataclass_fields__ if name != "user_ids")


def precompute_scores(
    weights: Weights,
    interactions: Interactions,
    histories: Histories | None = None,
    items_of: PrecomputedScores | None = None,
) -> PrecomputedScores:
    """Compute the score parts of the users in `interactions`.

    :param interactions: in the item codes of the weights.
    :param histories: of these rows, if already summarised.
    :param items_of: scores of the same weights for other users, to reuse their item parts.
    """
    histories = summarise(interactions) if histories is None else histories
    embeddings = user_embeddings(histories, weights.factors, weights.settings.half_life)
    return PrecomputedScores(
        interactions.user_ids,
        histories.indptr,
        histories.item,
        own_scores(weights, histories, embeddings[0]),
        *weights.user_side(embeddings, histories.size_of_users()),
        checksums(interactions),
        *(weights.item_side() if items_of is None else (items_of.item_vector, items_of.item_bias)),
    )


def own_scores(weights: Weights, histories: Histories, embedding: Float32Array) -> Float32Array:
    """Compute the log odds that the pairs of the histories occur again."""
    score = np.full(len(histories.item), NEVER_REPEATED, dtype=np.float32)
    if weights.ensemble.repeat_model is None:
        return score
    user = histories.user
    for start in range(0, len(score), CHUNK_PAIRS):
        part = slice(start, start + CHUNK_PAIRS)
        item = histories.item[part]
        affinities = affinity_of_pairs(weights.factors, embedding, user[part], item)
        features = repeat_features(histories, part, weights.signals.features(item), affinities)
        score[part] = weights.ensemble.repeat_model.log_odds(features)
    return score


def checksums(interactions: Interactions) -> UintArray:
    """Compute one checksum per user, independent of the order of rows and of item codes."""
    items = hash_ids(interactions.item_ids.to_pylist(), SALT).astype(np.uint64)
    sums = np.zeros(interactions.num_users, dtype=np.uint64)
    np.add.at(sums, interactions.user, mix(items[interactions.item] ^ interactions.time.astype(np.uint64)))
    return sums


def positions(ids: pa.Array, among: pa.Array) -> IntArray:
    """Return the position of each id in `among`, -1 if it is missing."""
    found = pc.fill_null(pc.index_in(ids, value_set=among), -1)
    return np.array(found.to_numpy(zero_copy_only=False), dtype=np.int64)
