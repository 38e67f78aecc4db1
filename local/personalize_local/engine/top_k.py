"""Find the top k items of many users at once, over the whole catalog."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from personalize_local.engine.ensemble import Calibration
from personalize_local.engine.factors import THREADPOOLS
from personalize_local.engine.interactions import Float32Array, IntArray
from personalize_local.engine.precomputed import PrecomputedScores

# Users and scores of one matrix product. BLAS rounds differently for other shapes, and on some CPUs for other rows of a
# block: padded blocks, multiplied as doubles, make a user's scores independent of the other users in the request.
MAX_BLOCK_USERS = 128
MAX_BLOCK_SCORES = 16_000_000
# The top n items are in the n groups with the highest maxima, so that most groups can be skipped.
GROUP_ITEMS = 64
MAX_THREADS = 4
NO_SCORE = np.float32(-np.inf)


class TopKScorer:
    """Score all items for blocks of users."""

    def __init__(self, precomputed: PrecomputedScores, calibration: Calibration) -> None:
        self._precomputed = precomputed
        self._calibration = calibration
        size, width = precomputed.item_vector.shape
        places = -(-size // GROUP_ITEMS) * GROUP_ITEMS
        # Two more factors add the biases within the matrix product.
        self._vectors = np.zeros((width + 2, places), dtype=np.float64)
        self._vectors[:width, :size] = precomputed.item_vector.T
        self._vectors[width] = NO_SCORE
        self._vectors[width, :size] = precomputed.item_bias
        self._vectors[width + 1] = 1
        self._block_users = max(1, min(MAX_BLOCK_USERS, MAX_BLOCK_SCORES // places))

    def top_k(self, users: IntArray, num_results: int) -> tuple[IntArray, Float32Array]:
        """Return the top items of users with a history.

        :returns: item codes and scores (softmax over the whole catalog), both (users, num_results), best first;
            unfilled positions have score 0 and item -1.
        """
        step = self._block_users
        parts = [users[start : start + step] for start in range(0, len(users), step)]
        threads = min(MAX_THREADS, os.cpu_count() or 1, len(parts))
        with THREADPOOLS.limit(limits=1, user_api="blas"), ThreadPoolExecutor(max(1, threads)) as pool:
            found: Iterable[tuple[IntArray, Float32Array]] = pool.map(
                lambda part: self._block(part, num_results), parts
            )
            items, scores = zip(*found, strict=True)
        return np.concatenate(items), np.concatenate(scores)

    def _block(self, users: IntArray, num_results: int) -> tuple[IntArray, Float32Array]:
        scores = self._scores(users)
        starts = np.arange(0, scores.size, GROUP_ITEMS)
        highest = np.maximum.reduceat(scores.reshape(-1), starts).reshape(len(users), -1)
        count = min(num_results, scores.shape[1])
        items, found = first(*candidates(scores, highest, count), count)
        items[np.isneginf(found)] = -1
        top = highest.max(axis=1, keepdims=True)
        scores -= top
        total = np.exp(scores, out=scores).sum(axis=1, keepdims=True)
        return items, np.exp(found - top) / total

    def _scores(self, users: IntArray) -> Float32Array:
        """Compute log odds, shape (users, items padded to whole groups)."""
        precomputed = self._precomputed
        vectors = np.ones((self._block_users, len(self._vectors)), dtype=np.float64)
        vectors[: len(users), :-2] = precomputed.vector[users]
        vectors[: len(users), -1] = precomputed.bias[users]
        scores: Float32Array = (vectors @ self._vectors)[: len(users)].astype(np.float32)
        self._calibration.apply(scores)
        starts, lengths = precomputed.indptr[users], precomputed.indptr[users + 1] - precomputed.indptr[users]
        row = np.repeat(np.arange(len(users)), lengths)
        pairs = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(len(row))
        scores[row, precomputed.own_item[pairs]] = precomputed.own_score[pairs]
        return scores


def candidates(scores: Float32Array, highest: Float32Array, count: int) -> tuple[IntArray, Float32Array]:
    """Return the items and scores of the groups that contain the top items of each row, in item order.

    :param highest: the maximum of each group, shape (rows, groups).
    """
    if count >= highest.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape), scores
    chosen = np.argpartition(-highest, count - 1, axis=1)[:, :count]
    # Item order makes ties independent of the partition.
    chosen.sort(axis=1)
    groups = scores.reshape(len(scores), -1, GROUP_ITEMS)
    kept = np.take_along_axis(groups, chosen[:, :, None], axis=1)
    items = chosen[:, :, None] * GROUP_ITEMS + np.arange(GROUP_ITEMS)
    return items.reshape(len(scores), -1), kept.reshape(len(scores), -1)


def first(items: IntArray, scores: Float32Array, count: int) -> tuple[IntArray, Float32Array]:
    """Sort the top `count` items of each row, ties in item order."""
    place = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    place.sort(axis=1)
    found = np.take_along_axis(scores, place, axis=1)
    place = np.take_along_axis(place, np.argsort(-found, axis=1, kind="stable"), axis=1)
    return np.take_along_axis(items, place, axis=1), np.take_along_axis(scores, place, axis=1)
