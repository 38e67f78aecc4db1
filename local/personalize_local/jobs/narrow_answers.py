"""Answer from the few items that a filter leaves, without ranking the whole catalogue for each line.

When a filter leaves no more items than are wanted, all of them are the answer, and only their order is to be found.
This also reaches items too rare for a model to propose by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_local.engine import Answer, Options, Query, Recommender
from personalize_local.engine.answers import log_sum
from personalize_local.engine.catalogue import Catalogue
from personalize_local.engine.pair_scores import PairScorer
from personalize_local.engine.popularity import PopularityCount
from personalize_local.engine.related import RelatedItems
from personalize_local.engine.user_personalization import UserPersonalization
from personalize_local.engine.user_personalization_v2 import POPULAR_ITEM, UserPersonalizationV2

Codes = NDArray[np.int64]
# Queries, with the items left to each: one answer per query, of all these items that the model knows.
NarrowAnswers = Callable[[Sequence[Query], Sequence[Collection[str]]], list[Answer]]


def narrow_answers(recommender: Recommender, options: Options) -> NarrowAnswers | None:
    """Return what orders a few items for a query; None for models that have to be asked for long lists."""
    if isinstance(recommender, UserPersonalization):
        return _OfUsers(recommender)
    if isinstance(recommender, RelatedItems):
        return _Related(recommender, options)
    if isinstance(recommender, PopularityCount):
        return _Popular(recommender.catalogue)
    return None


def _codes(catalogue: Catalogue, left: Collection[str]) -> Codes:
    """Return the codes of the items that the model knows, in the order of their ids."""
    found = pc.index_in(pa.array(list(left), pa.string()), value_set=catalogue.item_ids).drop_null()
    return np.sort(found.to_numpy().astype(np.int64))


def _ids(catalogue: Catalogue, codes: Codes) -> list[str]:
    ids: list[str] = catalogue.item_ids.take(pa.array(codes)).to_pylist()
    return ids


class _OfUsers:
    """Give each item the score that it has in the list of the whole catalogue.

    Nothing is explored: all that could be is in the list already.
    """

    def __init__(self, model: UserPersonalization) -> None:
        self._model = model
        self._scorer = PairScorer(model)

    def __call__(self, queries: Sequence[Query], left: Sequence[Collection[str]]) -> list[Answer]:
        users = self._scorer.users([query.user_id or "" for query in queries])
        codes = [_codes(self._model.catalogue, ids) for ids in left]
        lengths = [len(each) for each in codes]
        odds = self._scorer.log_odds(np.repeat(users, lengths), np.concatenate(codes))
        scores = np.split(np.exp(odds - np.repeat(self._totals(users), lengths)), np.cumsum(lengths)[:-1])
        return [self._answer(*each) for each in zip(users.tolist(), codes, scores, strict=True)]

    def _answer(self, user: int, codes: Codes, scores: NDArray[np.float64]) -> Answer:
        order = np.argsort(-scores, kind="stable")
        ids = _ids(self._model.catalogue, codes[order])
        if not isinstance(self._model, UserPersonalizationV2):
            return Answer(ids, scores[order].tolist())
        reasons: list[str] = [] if user >= 0 else [POPULAR_ITEM]
        return Answer(ids, scores[order].tolist(), [reasons for _ in ids])

    def _totals(self, users: Codes) -> NDArray[np.float64]:
        """Return the log of what the scores of all items are divided by; 0 where popularity is a share already."""
        totals = np.zeros(len(users))
        known, answers = users[users >= 0], self._model.answers
        if len(known):
            discovery = answers.discover(known)
            answers.own(known, 0, discovery)  # strikes own items from the discovery
            totals[users >= 0] = np.logaddexp(log_sum(discovery), answers.own_mass[known])
        return totals


class _Popular:
    """Order items by popularity, for everybody alike."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._rank = np.empty(len(catalogue), np.int64)
        self._rank[catalogue.by_popularity()] = np.arange(len(catalogue))

    def __call__(self, queries: Sequence[Query], left: Sequence[Collection[str]]) -> list[Answer]:
        return [Answer(_ids(self._catalogue, self.ordered(_codes(self._catalogue, ids)))) for ids in left]

    def ordered(self, codes: Codes) -> Codes:
        return codes[np.argsort(self._rank[codes])]


class _Related:
    """Order items by likeness, then, where there is none, by popularity; never the item itself."""

    def __init__(self, model: RelatedItems, options: Options) -> None:
        self._model = model
        self._options = options
        self._popular = _Popular(model.catalogue)

    def __call__(self, queries: Sequence[Query], left: Sequence[Collection[str]]) -> list[Answer]:
        catalogue = self._model.catalogue
        asked = pa.array([query.item_id or "" for query in queries], pa.string())
        items = pc.fill_null(pc.index_in(asked, value_set=catalogue.item_ids), -1).to_numpy().astype(np.int64)
        codes = [self._popular.ordered(_codes(catalogue, ids)) for ids in left]
        known = items[items >= 0]
        near = iter(self._model.similarities(known, self._options) if len(known) else ())
        found = []
        for item, own in zip(items.tolist(), codes, strict=True):
            likeness = np.maximum(next(near)[own], 0) if item >= 0 else np.zeros(len(own))
            best = own[np.argsort(-likeness, kind="stable")]
            found.append(Answer(_ids(catalogue, best[best != item])))
        return found
