"""Score users: everything that does not depend on the question is worked out once and stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.engine.blend import CHUNK_PAIRS, NEVER_AGAIN, habit_features, liking, tastes_of
from personalize_local.engine.exploration import UintArray, mix
from personalize_local.engine.histories import Histories, summarise
from personalize_local.engine.interactions import Float32Array, IntArray, Interactions
from personalize_local.engine.split import hash_ids
from personalize_local.engine.weights import Weights

USERS_FILE = "users.parquet"
SALT = "checksum"


@dataclass(frozen=True)
class Answers:
    """Hold what all scores are made of.

    Log odds of a user taking an item of his own again lie in `own_score`, per user (`indptr`) and item
    (`own_item`). Those of discovering another one are `vector[user] @ item_vector[item] + item_bias[item] +
    bias[user]`, bent by `Blend.bend`. `checksum` tells whether a user's rows have changed.
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
    def read(cls, folder: Path) -> "Answers":
        """Read what :meth:`write` wrote."""
        user_ids = pq.read_table(folder / USERS_FILE).combine_chunks().column("user_ids").chunk(0)
        arrays = [np.load(folder / f"answers_{name}.npy", mmap_mode="r") for name in array_names()]
        return cls(user_ids, *arrays)


def array_names() -> Iterator[str]:
    """Name the arrays of the table, in the order of its fields."""
    return (name for name in Answers.__dataclass_fields__ if name != "user_ids")


def prepare_answers(
    weights: Weights,
    interactions: Interactions,
    histories: Histories | None = None,
    like: Answers | None = None,
) -> Answers:
    """Work out all that can be known before a question is asked.

    :param interactions: the users' rows, in the codes of the weights.
    :param histories: of these rows, where they have been summed up.
    :param like: answers of the same weights for other users, whose items are taken over.
    """
    histories = summarise(interactions) if histories is None else histories
    tastes = tastes_of(histories, weights.factors, weights.settings.half_life)
    return Answers(
        interactions.user_ids,
        histories.indptr,
        histories.item,
        own_scores(weights, histories, tastes[0]),
        *weights.user_side(tastes, histories.size_of_users()),
        checksums(interactions),
        *(weights.item_side() if like is None else (like.item_vector, like.item_bias)),
    )


def own_scores(weights: Weights, histories: Histories, taste: Float32Array) -> Float32Array:
    """Compute the log odds that the pairs of the histories come again."""
    score = np.full(len(histories.item), NEVER_AGAIN, dtype=np.float32)
    if weights.blend.again is None:
        return score
    user = histories.user
    for start in range(0, len(score), CHUNK_PAIRS):
        part = slice(start, start + CHUNK_PAIRS)
        item = histories.item[part]
        liked = liking(weights.factors, taste, user[part], item)
        features = habit_features(histories, part, weights.signals.features(item), liked)
        score[part] = weights.blend.again.log_odds(features)
    return score


def checksums(interactions: Interactions) -> UintArray:
    """Sum up each user's rows in one number, whatever their order and the codes of the items."""
    items = hash_ids(interactions.item_ids.to_pylist(), SALT).astype(np.uint64)
    sums = np.zeros(interactions.num_users, dtype=np.uint64)
    np.add.at(sums, interactions.user, mix(items[interactions.item] ^ interactions.time.astype(np.uint64)))
    return sums


def positions(ids: pa.Array, among: pa.Array) -> IntArray:
    """Find ids among others, -1 for those not there."""
    found = pc.fill_null(pc.index_in(ids, value_set=among), -1)
    return np.array(found.to_numpy(zero_copy_only=False), dtype=np.int64)
