"""Rank a given list for a user: recipes aws-personalized-ranking and aws-personalized-ranking-v2."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.engine.base import Answer, Options, Query, Recommender, TrainedModel
from personalize_local.engine.data import TrainingData
from personalize_local.engine.fresh import refreshed
from personalize_local.engine.interactions import FloatArray, IntArray
from personalize_local.engine.pair_scores import PairScorer
from personalize_local.engine.user_personalization import UserPersonalization
from personalize_local.engine.user_personalization_v2 import apply_recency_bias

BATCH_QUERIES = 256


class PersonalizedRanking(Recommender):
    """Order each list by what the user model says of its items.

    https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-search.html
    Scores are a softmax over the given list. Items that nobody ever interacted with come last, in
    the order given and without a score; so do ids that are not known. Of an id given twice the second is left out.
    The metrics are those of the user model over the whole catalogue: what the service ranks is not published.
    """

    recipe = "aws-personalized-ranking"
    has_scores = True
    wants = "ranking"

    def __init__(self, users: UserPersonalization) -> None:
        self._users = users
        self._scorer = PairScorer(users)

    def answer(self, queries: Sequence[Query], num_results: int, options: Options) -> Iterator[Answer]:
        """Yield each list in a better order, as long as it was."""
        for start in range(0, len(queries), BATCH_QUERIES):
            yield from self._batch(queries[start : start + BATCH_QUERIES])

    def _batch(self, queries: Sequence[Query]) -> Iterator[Answer]:
        lists = [list(dict.fromkeys(query.item_ids)) for query in queries]
        lengths = np.array([len(ids) for ids in lists])
        ids = pa.array([item for part in lists for item in part], pa.string())
        found = pc.fill_null(pc.index_in(ids, value_set=self._users.catalogue.item_ids), -1)
        items = found.to_numpy().astype(np.int64)
        items[(items >= 0) & (self._users.catalogue.rows[items] == 0)] = -1
        users = np.repeat(self._scorer.users([query.user_id or "" for query in queries]), lengths)
        odds = self._scorer.log_odds(users, items)
        ends = np.cumsum(lengths)
        for part, start, end in zip(lists, ends - lengths, ends, strict=True):
            yield ordered(part, items[start:end], odds[start:end])

    def with_histories(self, interactions: pa.Table) -> Recommender:
        """Rank for some users by all that they did up to now."""
        return refreshed(self, type(self)(self._users.told(interactions)), interactions)

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
    """Order lists as the first version does; the service's is a transformer, whose weights are not published.

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
