"""Score users: everything that does not depend on the question is worked out once and stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from personalize_local.engine.blend import NEVER_AGAIN, again_features, taste_of
from personalize_local.engine.histories import Histories, summarise
from personalize_local.engine.interactions import Float32Array, IntArray, Interactions
from personalize_local.engine.weights import Weights

USERS_FILE = "users.parquet"
BLOCK_USERS = 64
NO_SCORE = np.float32(-np.inf)


@dataclass(frozen=True)
class Answers:
    """Hold per user: scored own items, best first (`indptr`, `own_item`, `own_score`), and a taste vector.

    Log odds of discovering pool item p are `vector[user] @ pool_vector[p] + pool_bias[p] + bias[user]`.
    `own_mass` is the log of the summed odds of all own items.
    """

    user_ids: pa.Array
    indptr: IntArray
    own_item: IntArray
    own_score: Float32Array
    own_mass: Float32Array
    vector: Float32Array
    bias: Float32Array
    pool: IntArray
    pool_vector: Float32Array
    pool_bias: Float32Array

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

    def best(self, users: IntArray, num_results: int) -> tuple[IntArray, Float32Array]:
        """Find the best items of users with a history.

        :returns: item codes and scores (softmax over all candidates), both (users, num_results or fewer), best
            first; places that could not be filled have score 0 and item -1.
        """
        discovery = self.discover(users)
        own_item, own_score = self.own(users, num_results, discovery)
        total = np.logaddexp(log_sum(discovery), self.own_mass[users])
        scores = np.hstack([own_score, discovery])
        count = min(num_results, scores.shape[1])
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        # Sorting by position first makes ties fall alike whatever the partition did.
        best.sort(axis=1)
        found = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        best, found = (np.take_along_axis(part, order, axis=1) for part in (best, found))
        width = own_item.shape[1]
        padded = np.hstack([own_item, np.full((len(users), 1), -1)])
        own = np.take_along_axis(padded, np.minimum(best, width), axis=1)
        items = np.where(best < width, own, self.pool[np.maximum(best - width, 0)])
        items[np.isneginf(found)] = -1
        return items, np.exp(found - total[:, None])

    def discover(self, users: IntArray) -> Float32Array:
        """Compute the log odds of the pool items, own ones included, shape (users, pool)."""
        # BLAS rounds differently for other shapes; whole blocks make a user's scores independent of the others.
        blocks = -(-len(users) // BLOCK_USERS)
        vectors = np.zeros((blocks * BLOCK_USERS, self.vector.shape[1]), dtype=np.float32)
        vectors[: len(users)] = self.vector[users]
        discovery = (vectors @ self.pool_vector.T)[: len(users)]
        discovery += self.pool_bias
        discovery += self.bias[users][:, None]
        return np.asarray(discovery)

    def own(self, users: IntArray, limit: int, discovery: Float32Array) -> tuple[IntArray, Float32Array]:
        """Lay out the best own items as a rectangle, and strike all own items from the discovery."""
        starts, ends = self.indptr[users], self.indptr[users + 1]
        lengths = ends - starts
        row = np.repeat(np.arange(len(users)), lengths)
        place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        pairs = np.repeat(starts, lengths) + place
        item = self.own_item[pairs]
        column = np.searchsorted(self.pool, item)
        in_pool = self.pool[np.minimum(column, len(self.pool) - 1)] == item
        discovery[row[in_pool], column[in_pool]] = NO_SCORE
        kept = place < limit
        width = int(min(limit, lengths.max(initial=0)))
        items = np.full((len(users), width), -1, dtype=np.int64)
        scores = np.full((len(users), width), NO_SCORE, dtype=np.float32)
        items[row[kept], place[kept]] = item[kept]
        scores[row[kept], place[kept]] = self.own_score[pairs[kept]]
        return items, scores


def array_names() -> Iterator[str]:
    """Name the arrays of the table, in the order of its fields."""
    return (name for name in Answers.__dataclass_fields__ if name != "user_ids")


def log_sum(scores: Float32Array) -> Float32Array:
    """Sum odds per row and take the log; a row without any score gives minus infinity."""
    top = scores.max(axis=1)
    base = np.where(np.isneginf(top), 0, top)
    with np.errstate(divide="ignore"):
        return np.asarray(base + np.log(np.exp(scores - base[:, None]).sum(axis=1)))


def prepare_answers(weights: Weights, interactions: Interactions, latest: int) -> Answers:
    """Work out all that can be known before a question is asked.

    :param interactions: the users' histories, in the codes of the weights.
    :param latest: time of the newest interaction of the dataset, epoch seconds.
    """
    histories = summarise(interactions, latest)
    own_item, own_score = rank_own(weights, histories)
    taste = taste_of(histories, weights.factors, weights.settings.half_life)
    slopes, offset = weights.blend.discovery.linear()
    # Columns as in learn_discovery: steady, recent, three signals of the item, two features of the user.
    vector = taste.steady * np.float32(slopes[0]) + taste.recent * np.float32(slopes[1])
    pool = weights.pool
    column = weights.factors.column[pool]
    pool_vector = weights.factors.vectors[np.maximum(column, 0)] * (column >= 0)[:, None]
    return Answers(
        user_ids=interactions.user_ids,
        indptr=histories.indptr,
        own_item=own_item,
        own_score=own_score,
        own_mass=masses(own_score, histories),
        vector=vector.astype(np.float32),
        bias=(histories.user_features @ slopes[5:7] + offset).astype(np.float32),
        pool=pool,
        pool_vector=pool_vector.astype(np.float32),
        pool_bias=(weights.signals.features(pool) @ slopes[2:5]).astype(np.float32),
    )


def rank_own(weights: Weights, histories: Histories) -> tuple[IntArray, Float32Array]:
    """Score the pairs of the histories and sort each user's, best first, ties by recency."""
    if weights.blend.again is None:
        score = np.full(len(histories.item), NEVER_AGAIN, dtype=np.float32)
    else:
        features = again_features(histories, weights.signals, slice(None))
        score = weights.blend.again.log_odds(features)
    order = np.lexsort((histories.rank, -score, histories.user))
    return histories.item[order], score[order]


def masses(own_score: Float32Array, histories: Histories) -> Float32Array:
    """Sum the odds of each user's own items, as logs; minus infinity for a user without any."""
    odds = np.bincount(histories.user, np.exp(own_score.astype(np.float64)), len(histories.indptr) - 1)
    with np.errstate(divide="ignore"):
        return np.log(odds).astype(np.float32)
