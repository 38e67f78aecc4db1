"""Turn the user model round: score all users for one item or one set of items."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.answers import prepare_answers
from personalize_local.engine.catalogue import Catalogue, describe_items
from personalize_local.engine.data import TrainingData
from personalize_local.engine.interactions import FloatArray, IntArray, Interactions
from personalize_local.engine.learning import learn, relearn
from personalize_local.engine.pair_scores import PairScorer
from personalize_local.engine.user_personalization import UserPersonalization
from personalize_local.engine.weights import Settings, Weights

# Of the items of a set so many are weighed for users who never had them: the most popular, since the odds of the
# others are small. A user's own items always count.
MAX_DISCOVERED_ITEMS = 500
# Bounds the memory of a block of users to a few hundred MB.
BLOCK_USERS = 65_536


class UserScorer:
    """Score all users at once; every answer is one float per user of the model.

    Where nothing is ever taken again, those who have an item are its users all the same: their taste speaks for it,
    and a segment without them would surprise.
    """

    def __init__(self, model: UserPersonalization) -> None:
        self.catalogue = model.catalogue
        self.answers = model.answers
        self._pairs = PairScorer(model)
        counts = np.diff(self.answers.indptr)
        self._owner = np.repeat(np.arange(len(counts)), counts)
        self._by_item = np.argsort(self.answers.own_item, kind="stable")
        self._starts = np.searchsorted(
            self.answers.own_item, np.arange(len(self.catalogue) + 1), sorter=self._by_item
        )
        # Deleted users have no name any more.
        nameless = np.asarray(pc.is_null(self.answers.user_ids).to_numpy(zero_copy_only=False))
        self._absent = (counts == 0) | nameless
        self._repeats = model.weights.blend.again is not None

    @property
    def user_ids(self) -> pa.Array:
        """List the users in the order of the scores."""
        return self.answers.user_ids

    def for_item(self, item: int) -> FloatArray:
        """Give the log odds that each user takes the item next."""
        scores = self._discover(np.array([item]), slice(None))[:, 0].astype(np.float64)
        if self._repeats:
            own = self._by_item[self._starts[item] : self._starts[item + 1]]
            scores[self._owner[own]] = self.answers.own_score[own]
        return self._present(scores)

    def for_items(self, items: IntArray) -> FloatArray:
        """Give the log of how many of the items each user is expected to take next."""
        if len(items) == 0:
            return np.full(len(self._absent), -np.inf)
        most = np.lexsort((items, -self.catalogue.users[items]))[:MAX_DISCOVERED_ITEMS]
        weighed = np.sort(items[most])
        expected = np.zeros(len(self._absent))
        for start in range(0, len(expected), BLOCK_USERS):
            part = slice(start, start + BLOCK_USERS)
            expected[part] = np.exp(self._discover(weighed, part)).sum(axis=1)
        if self._repeats:
            expected += self._own_gain(items, weighed)
        return self._present(np.log(np.maximum(expected, 1e-300)))

    def _own_gain(self, items: IntArray, weighed: IntArray) -> FloatArray:
        """Put the odds of own items in the place of what the discovery has put down for them."""
        own = np.concatenate([self._by_item[self._starts[i] : self._starts[i + 1]] for i in items])
        gain = np.exp(self.answers.own_score[own].astype(np.float64)) - self._counted(own, weighed)
        return np.bincount(self._owner[own], gain, minlength=len(self._absent)).astype(np.float64)

    def _counted(self, own: IntArray, weighed: IntArray) -> FloatArray:
        """Tell what the discovery has put down already for own items."""
        answers, item, user = self.answers, self.answers.own_item[own], self._owner[own]
        odds = np.einsum("ij,ij->i", answers.vector[user], self._pairs.item_vector[item])
        odds += self._pairs.item_bias[item] + answers.bias[user]
        self._pairs.bend.apply(odds)
        return np.where(np.isin(item, weighed), np.exp(odds.astype(np.float64)), 0.0)

    def _discover(self, items: IntArray, users: slice) -> FloatArray:
        pairs = self._pairs
        odds = np.asarray(self.answers.vector[users]) @ pairs.item_vector[items].T
        odds += pairs.item_bias[items]
        odds += self.answers.bias[users][:, None]
        pairs.bend.apply(odds)
        return np.asarray(odds)

    def _present(self, scores: FloatArray) -> FloatArray:
        """Put users without a single interaction last."""
        scores[self._absent] = -np.inf
        return scores


def best_users(scores: FloatArray, count: int) -> IntArray:
    """List the users with the highest scores, best first, ties in the order of ids; never those at -inf."""
    count = min(count, int(np.isfinite(scores).sum()))
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    if count < len(scores):
        # The least score that gets in; all ties of it are sorted, then cut.
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(scores >= least)
    else:
        candidates = np.arange(len(scores))
    order = np.argsort(-scores[candidates], kind="stable")
    return np.asarray(candidates[order][:count])


def learn_weights(rows: Interactions, settings: Settings, kept: Weights | None = None) -> Weights:
    """Learn the user model; with weights given, keep their blend and refit the rest."""
    return learn(rows, settings) if kept is None else relearn(kept, rows)


def model_of(data: TrainingData, rows: Interactions, weights: Weights) -> UserPersonalization:
    """Prepare the user model over some rows."""
    catalogue: Catalogue = describe_items(data, rows)
    return UserPersonalization(catalogue, weights, prepare_answers(weights, rows))
