"""Find the best items of many users at once, over the whole catalogue."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no stubs

from personalize_local.engine.answers import Answers
from personalize_local.engine.blend import Bend
from personalize_local.engine.interactions import Float32Array, IntArray

# Users scored by one matrix product, and scores held by it. BLAS rounds differently for other shapes; blocks always
# filled up to the same size make a user's scores independent of who else is asked for.
MAX_BLOCK_USERS = 128
MAX_BLOCK_SCORES = 16_000_000
# The best n items lie in the n groups with the best maxima, so that most groups need not be looked into.
GROUP_ITEMS = 64
MAX_THREADS = 4
NO_SCORE = np.float32(-np.inf)


class Scorer:
    """Score all items for blocks of users."""

    def __init__(self, answers: Answers, bend: Bend) -> None:
        self._answers = answers
        self._bend = bend
        size, width = answers.item_vector.shape
        places = -(-size // GROUP_ITEMS) * GROUP_ITEMS
        # Two more factors carry what is added, so that the matrix product adds it.
        self._vectors = np.zeros((width + 2, places), dtype=np.float32)
        self._vectors[:width, :size] = answers.item_vector.T
        self._vectors[width] = NO_SCORE
        self._vectors[width, :size] = answers.item_bias
        self._vectors[width + 1] = 1
        self._block_users = max(1, min(MAX_BLOCK_USERS, MAX_BLOCK_SCORES // places))

    def best(self, users: IntArray, num_results: int) -> tuple[IntArray, Float32Array]:
        """Find the best items of users with a history.

        :returns: item codes and scores (softmax over the whole catalogue), both (users, num_results), best first;
            places that could not be filled have score 0 and item -1.
        """
        step = self._block_users
        parts = [users[start : start + step] for start in range(0, len(users), step)]
        threads = min(MAX_THREADS, os.cpu_count() or 1, len(parts))
        with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(max(1, threads)) as pool:
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
        """Compute log odds, shape (users, items filled up to whole groups)."""
        answers = self._answers
        vectors = np.ones((self._block_users, len(self._vectors)), dtype=np.float32)
        vectors[: len(users), :-2] = answers.vector[users]
        vectors[: len(users), -1] = answers.bias[users]
        scores: Float32Array = (vectors @ self._vectors)[: len(users)]
        self._bend.apply(scores)
        starts, lengths = answers.indptr[users], answers.indptr[users + 1] - answers.indptr[users]
        row = np.repeat(np.arange(len(users)), lengths)
        pairs = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(len(row))
        scores[row, answers.own_item[pairs]] = answers.own_score[pairs]
        return scores


def candidates(scores: Float32Array, highest: Float32Array, count: int) -> tuple[IntArray, Float32Array]:
    """Keep the groups in which the best items of each row are, in the order of items.

    :param highest: the best score of each group, shape (rows, groups).
    """
    if count >= highest.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape), scores
    chosen = np.argpartition(-highest, count - 1, axis=1)[:, :count]
    # In the order of items, so that ties fall alike whatever the partition did.
    chosen.sort(axis=1)
    groups = scores.reshape(len(scores), -1, GROUP_ITEMS)
    kept = np.take_along_axis(groups, chosen[:, :, None], axis=1)
    items = chosen[:, :, None] * GROUP_ITEMS + np.arange(GROUP_ITEMS)
    return items.reshape(len(scores), -1), kept.reshape(len(scores), -1)


def first(items: IntArray, scores: Float32Array, count: int) -> tuple[IntArray, Float32Array]:
    """Sort the best so many items of each row, ties in their order."""
    place = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    place.sort(axis=1)
    found = np.take_along_axis(scores, place, axis=1)
    place = np.take_along_axis(place, np.argsort(-found, axis=1, kind="stable"), axis=1)
    return np.take_along_axis(items, place, axis=1), np.take_along_axis(scores, place, axis=1)
