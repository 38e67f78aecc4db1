"""Score any pairs of users and items with the user model, not only each user's best items."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.interactions import Float32Array, FloatArray, IntArray
from personalize_local.engine.user_personalization import UserPersonalization


class PairScorer:
    """Give the log odds that a user takes an item next."""

    def __init__(self, model: UserPersonalization) -> None:
        self.answers = model.answers
        self.bend = model.weights.blend.bend
        self.item_vector: Float32Array = model.answers.item_vector
        self.item_bias: Float32Array = model.answers.item_bias
        self._popular = np.log((model.catalogue.users + 1) / (model.catalogue.users + 1).sum())

    @property
    def num_items(self) -> int:
        """Count the items of the catalogue."""
        return len(self.item_bias)

    def users(self, user_ids: Sequence[str]) -> IntArray:
        """Look the users up; -1 for those without a history."""
        found = pc.index_in(pa.array(user_ids, pa.string()), value_set=self.answers.user_ids, skip_nulls=True)
        users = pc.fill_null(found, -1).to_numpy().astype(np.int64)
        pairs = self.answers.indptr[users + 1] - self.answers.indptr[users]
        return np.where((users >= 0) & (pairs > 0), users, -1)

    def log_odds(self, users: IntArray, items: IntArray) -> FloatArray:
        """Score pairs, shape (len(users),); popularity for users of code -1, anything for items of code -1."""
        odds = self._popular[items]
        known = np.flatnonzero((users >= 0) & (items >= 0))
        odds[known] = self._known(users[known], items[known])
        return np.asarray(odds)

    def _known(self, users: IntArray, items: IntArray) -> FloatArray:
        answers = self.answers
        discovered = np.einsum("ij,ij->i", answers.vector[users], self.item_vector[items])
        discovered += self.item_bias[items] + answers.bias[users]
        self.bend.apply(discovered)
        odds = discovered.astype(np.float64)
        place = self._own(users, items)
        odds[place >= 0] = answers.own_score[place[place >= 0]]
        return np.asarray(odds)

    def _own(self, users: IntArray, items: IntArray) -> IntArray:
        """Find the pairs among the users' own items, -1 where they are not."""
        answers = self.answers
        who = np.unique(users)
        starts = answers.indptr[who]
        lengths = answers.indptr[who + 1] - starts
        offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        place = np.repeat(starts, lengths) + offset
        keys = np.repeat(who, lengths) * self.num_items + answers.own_item[place]
        order = np.argsort(keys, kind="stable")
        wanted = users * self.num_items + items
        found = np.minimum(np.searchsorted(keys, wanted, sorter=order), max(0, len(keys) - 1))
        if len(keys) == 0:
            return np.full(len(users), -1, dtype=np.int64)
        found = order[found]
        return np.where(keys[found] == wanted, place[found], -1)
