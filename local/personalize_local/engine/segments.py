"""Score all users for one item or a set of items with the user model, and measure segments."""

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.catalog import Catalog, describe_items
from personalize_local.engine.evaluation import COVERAGE
from personalize_local.engine.inputs import TrainingData
from personalize_local.engine.interactions import FloatArray, IntArray, Interactions
from personalize_local.engine.precomputed import precompute_scores
from personalize_local.engine.ranking import PairScorer
from personalize_local.engine.user_personalization import UserPersonalization
from personalize_local.engine.weights import Hyperparameters, Weights, learn, relearn

# Most popular items of a set to score for users without them; the odds of the others are small. Own items always count.
MAX_DISCOVERED_ITEMS = 500
# Bounds the memory of a block of users to a few hundred MB.
BLOCK_USERS = 65_536
# https://docs.aws.amazon.com/personalize/latest/dg/working-with-training-metrics.html
TRAINED_SHARE = 0.8
TOP_SHARE = 0.01
HITS = "hits_at_1_percent"
RECALL = "recall_at_1_percent"


class UserScorer:
    """Score all users at once, one float per user of the model.

    Without a repeat model, own items are scored like other items, so that segments include the users who have them.
    """

    def __init__(self, model: UserPersonalization) -> None:
        self.catalog = model.catalog
        self.precomputed = model.precomputed
        self._pairs = PairScorer(model)
        counts = np.diff(self.precomputed.indptr)
        self._owner = np.repeat(np.arange(len(counts)), counts)
        self._by_item = np.argsort(self.precomputed.own_item, kind="stable")
        self._starts = np.searchsorted(
            self.precomputed.own_item, np.arange(len(self.catalog) + 1), sorter=self._by_item
        )
        # The ids of deleted users are null.
        nameless = np.asarray(pc.is_null(self.precomputed.user_ids).to_numpy(zero_copy_only=False))
        self._absent = (counts == 0) | nameless
        self._repeats = model.weights.ensemble.repeat_model is not None

    @property
    def user_ids(self) -> pa.Array:
        """List the users in the order of the scores."""
        return self.precomputed.user_ids

    def for_item(self, item: int) -> FloatArray:
        """Give the log odds that each user takes the item next."""
        scores = self._discover(np.array([item]), slice(None))[:, 0].astype(np.float64)
        if self._repeats:
            own = self._by_item[self._starts[item] : self._starts[item + 1]]
            scores[self._owner[own]] = self.precomputed.own_score[own]
        return self._present(scores)

    def for_items(self, items: IntArray) -> FloatArray:
        """Give the log of how many of the items each user is expected to take next."""
        if len(items) == 0:
            return np.full(len(self._absent), -np.inf)
        most = np.lexsort((items, -self.catalog.users[items]))[:MAX_DISCOVERED_ITEMS]
        weighed = np.sort(items[most])
        expected = np.zeros(len(self._absent))
        for start in range(0, len(expected), BLOCK_USERS):
            part = slice(start, start + BLOCK_USERS)
            expected[part] = np.exp(self._discover(weighed, part)).sum(axis=1)
        if self._repeats:
            expected += self._own_gain(items, weighed)
        return self._present(np.log(np.maximum(expected, 1e-300)))

    def _own_gain(self, items: IntArray, weighed: IntArray) -> FloatArray:
        """Return the difference between the odds of own items and their discovery odds in the sum."""
        own = np.concatenate([self._by_item[self._starts[i] : self._starts[i + 1]] for i in items])
        gain = np.exp(self.precomputed.own_score[own].astype(np.float64)) - self._counted(own, weighed)
        return np.bincount(self._owner[own], gain, minlength=len(self._absent)).astype(np.float64)

    def _counted(self, own: IntArray, weighed: IntArray) -> FloatArray:
        """Return the discovery odds of own items that are already in the sum."""
        precomputed, item, user = self.precomputed, self.precomputed.own_item[own], self._owner[own]
        odds = np.einsum("ij,ij->i", precomputed.vector[user], self._pairs.item_vector[item])
        odds += self._pairs.item_bias[item] + precomputed.bias[user]
        self._pairs.calibration.apply(odds)
        return np.where(np.isin(item, weighed), np.exp(odds.astype(np.float64)), 0.0)

    def _discover(self, items: IntArray, users: slice) -> FloatArray:
        pairs = self._pairs
        odds = np.asarray(self.precomputed.vector[users]) @ pairs.item_vector[items].T
        odds += pairs.item_bias[items]
        odds += self.precomputed.bias[users][:, None]
        pairs.calibration.apply(odds)
        return np.asarray(odds)

    def _present(self, scores: FloatArray) -> FloatArray:
        """Rank users without interactions last."""
        scores[self._absent] = -np.inf
        return scores


def top_users(scores: FloatArray, count: int) -> IntArray:
    """List the users with the highest scores, best first, ties in the order of ids; never those at -inf."""
    count = min(count, int(np.isfinite(scores).sum()))
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    if count < len(scores):
        # The lowest score of the result; its ties are sorted, then cut.
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(scores >= least)
    else:
        candidates = np.arange(len(scores))
    order = np.argsort(-scores[candidates], kind="stable")
    return np.asarray(candidates[order][:count])


def learn_weights(rows: Interactions, settings: Hyperparameters, kept: Weights | None = None) -> Weights:
    """Learn the user model; with weights given, keep their ensemble and refit the rest."""
    return learn(rows, settings) if kept is None else relearn(kept, rows)


def model_of(data: TrainingData, rows: Interactions, weights: Weights) -> UserPersonalization:
    """Prepare the user model over some rows."""
    catalog: Catalog = describe_items(data, rows)
    return UserPersonalization(catalog, weights, precompute_scores(weights, rows))


def split_rows(interactions: Interactions) -> tuple[Interactions, Interactions]:
    """Split every user's oldest 80 % of rows, rounded up, from the newest 20 %."""
    rows = interactions.rows_per_user()
    trained = np.ceil(np.round(TRAINED_SHARE * rows, 9)).astype(np.int64)
    is_old = interactions.rank_in_user() < trained[interactions.user]
    return interactions.where(is_old), interactions.where(~is_old)


def measure_segments(
    scorer: UserScorer, labels: Interactions, item_sets: Sequence[IntArray]
) -> dict[str, float]:
    """Compare the top 1 % of users for each set of items with the users who took one of them next.

    Sets without such users are skipped. Coverage is the share of users in at least one segment; the service does not
    publish its formula.
    """
    top = max(1, ceil(TOP_SHARE * len(scorer.user_ids)))
    hits, recalls, covered = [], [], np.zeros(len(scorer.user_ids), dtype=np.bool_)
    for items, takers in with_takers(labels, item_sets):
        scores = scorer.for_item(int(items[0])) if len(items) == 1 else scorer.for_items(items)
        best = top_users(scores, top)
        covered[best] = True
        hits.append(len(np.intersect1d(best, takers)))
        recalls.append(hits[-1] / len(takers))
    return {
        COVERAGE: float(covered.mean()),
        HITS: float(np.mean(hits)) if hits else 0.0,
        RECALL: float(np.mean(recalls)) if recalls else 0.0,
    }


def with_takers(labels: Interactions, item_sets: Sequence[IntArray]) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield each set with the distinct users who took one of its items, if any did."""
    order = np.argsort(labels.item, kind="stable")
    starts = np.searchsorted(labels.item, np.arange(labels.num_items + 1), sorter=order)
    for items in item_sets:
        rows = [order[starts[item] : starts[item + 1]] for item in items]
        takers = np.unique(labels.user[np.concatenate(rows)]) if rows else np.zeros(0, dtype=np.int64)
        if len(takers):
            yield items, takers
