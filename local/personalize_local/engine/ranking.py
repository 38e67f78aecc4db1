"""Rank a given list for a user: recipes aws-personalized-ranking and aws-personalized-ranking-v2."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.fold_in import fold_in_users
from personalize_local.engine.inputs import TrainingData
from personalize_local.engine.interactions import Float32Array, FloatArray, IntArray
from personalize_local.engine.user_personalization import UserPersonalization, apply_recency_bias

BATCH_QUERIES = 256


class PairScorer:
    """Compute the log odds that a user takes an item next, for any pairs."""

    def __init__(self, model: UserPersonalization) -> None:
        self.precomputed = model.precomputed
        self.calibration = model.weights.ensemble.calibration
        self.item_vector: Float32Array = model.precomputed.item_vector
        self.item_bias: Float32Array = model.precomputed.item_bias
        self._popular = np.log((model.catalog.users + 1) / (model.catalog.users + 1).sum())

    @property
    def num_items(self) -> int:
        """Count the items of the catalog."""
        return len(self.item_bias)

    def users(self, user_ids: Sequence[str]) -> IntArray:
        """Return the codes of users; -1 for those without a history."""
        found = pc.index_in(
            pa.array(user_ids, pa.string()), value_set=self.precomputed.user_ids, skip_nulls=True
        )
        users = pc.fill_null(found, -1).to_numpy().astype(np.int64)
        pairs = self.precomputed.indptr[users + 1] - self.precomputed.indptr[users]
        return np.where((users >= 0) & (pairs > 0), users, -1)

    def log_odds(self, users: IntArray, items: IntArray) -> FloatArray:
        """Score pairs, shape (len(users),); popularity for users of code -1, undefined for items of code -1."""
        odds = self._popular[items]
        known = np.flatnonzero((users >= 0) & (items >= 0))
        odds[known] = self._known(users[known], items[known])
        return np.asarray(odds)

    def _known(self, users: IntArray, items: IntArray) -> FloatArray:
        precomputed = self.precomputed
        discovered = np.einsum("ij,ij->i", precomputed.vector[users], self.item_vector[items])
        discovered += self.item_bias[items] + precomputed.bias[users]
        self.calibration.apply(discovered)
        odds = discovered.astype(np.float64)
        place = self._own(users, items)
        odds[place >= 0] = precomputed.own_score[place[place >= 0]]
        return np.asarray(odds)

    def _own(self, users: IntArray, items: IntArray) -> IntArray:
        """Return the positions of the pairs among own items, -1 for other items."""
        precomputed = self.precomputed
        who = np.unique(users)
        starts = precomputed.indptr[who]
        lengths = precomputed.indptr[who + 1] - starts
        offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        place = np.repeat(starts, lengths) + offset
        keys = np.repeat(who, lengths) * self.num_items + precomputed.own_item[place]
        order = np.argsort(keys, kind="stable")
        wanted = users * self.num_items + items
        found = np.minimum(np.searchsorted(keys, wanted, sorter=order), max(0, len(keys) - 1))
        if len(keys) == 0:
            return np.full(len(users), -1, dtype=np.int64)
        found = order[found]
        return np.where(keys[found] == wanted, place[found], -1)


class PersonalizedRanking(Recommender):
    """Order each list by the user model's scores.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-search.html
    Scores are a softmax over the given list. Items without interactions and unknown ids come last, in the given order
    and without a score. Repeated ids are dropped. The metrics are those of the user model over the whole catalog,
    because the service does not publish what it ranks.
    """

    recipe = "aws-personalized-ranking"
    has_scores = True
    wants = "ranking"

    def __init__(self, users: UserPersonalization) -> None:
        self._users = users
        self._scorer = PairScorer(users)

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield each list, reordered."""
        for start in range(0, len(queries), BATCH_QUERIES):
            yield from self._batch(queries[start : start + BATCH_QUERIES])

    def _batch(self, queries: Sequence[Query]) -> Iterator[Answer]:
        lists = [list(dict.fromkeys(query.item_ids)) for query in queries]
        lengths = np.array([len(ids) for ids in lists])
        ids = pa.array([item for part in lists for item in part], pa.string())
        found = pc.fill_null(pc.index_in(ids, value_set=self._users.catalog.item_ids), -1)
        items = found.to_numpy().astype(np.int64)
        items[(items >= 0) & (self._users.catalog.rows[items] == 0)] = -1
        users = np.repeat(self._scorer.users([query.user_id or "" for query in queries]), lengths)
        odds = self._scorer.log_odds(users, items)
        ends = np.cumsum(lengths)
        for part, start, end in zip(lists, ends - lengths, ends, strict=True):
            yield ordered(part, items[start:end], odds[start:end])

    def with_histories(self, interactions: pa.Table) -> Recommender:
        """Fold the users in with all their interactions."""
        return fold_in_users(self, type(self)(self._users.with_users(interactions)), interactions)

    def write(self, folder: Path) -> None:
        """Write the user model."""
        self._users.write(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the user model back."""
        return cls(UserPersonalization.read(folder))

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Fit the user model."""
        trained = UserPersonalization.fit(data, hyperparameters)
        assert isinstance(trained.recommender, UserPersonalization)
        return TrainedModel(cls(trained.recommender), trained.metrics)


class PersonalizedRankingV2(PersonalizedRanking):
    """Order lists as the first version does; the service uses an unpublished transformer.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-personalized-ranking-v2.html
    """

    recipe = "aws-personalized-ranking-v2"

    @classmethod
    def fit(cls, data: TrainingData, hyperparameters: Mapping[str, str]) -> TrainedModel:
        """Fit the user model; `apply_recency_bias` is its recency mask."""
        return super().fit(data, apply_recency_bias(hyperparameters))


def ordered(ids: list[str], items: IntArray, log_odds: FloatArray) -> Answer:
    """Sort one list; items of code -1 come last, without a score."""
    known = np.flatnonzero(items >= 0)
    known = known[np.argsort(-log_odds[known], kind="stable")]
    odds = np.exp(log_odds[known] - log_odds[known[:1]])
    scores = (odds / odds.sum()).tolist() if len(known) else []
    unknown = np.flatnonzero(items < 0).tolist()
    return Answer([ids[place] for place in (*known.tolist(), *unknown)], scores)
