"""Answer from the few items that a filter leaves, without ranking the whole catalogue for each line.

When a filter leaves no more items than are wanted, all of them are the answer, and only their order is to be found.
This also reaches items that a model would not propose by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_local.engine.base import Answer, Options, Query, Recommender
from personalize_local.engine.catalogue import Catalogue
from personalize_local.engine.pair_scores import PairScorer
from personalize_local.engine.popularity import PopularityCount
from personalize_local.engine.related import RelatedItems
from personalize_local.engine.user_personalization import UserPersonalization

Codes = NDArray[np.int64]
# Queries, with the items left to each: one answer per query, of all these items that the model knows.
NarrowAnswers = Callable[[Sequence[Query], Sequence[frozenset[str]]], list[Answer]]

# Lines with the same values have the same items left; each holds at most as many as results are wanted.
_SETS_KEPT = 128


@dataclass(frozen=True)
class _Few:
    """Hold the items that are left and known to a model, by their codes, in the order of these."""

    codes: Codes
    ids: list[str]

    def ordered(self, order: Codes) -> list[str]:
        return [self.ids[place] for place in order.tolist()]


class _Finder:
    """Find items in a catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.few = lru_cache(_SETS_KEPT)(self._few)

    def codes(self, ids: Sequence[str]) -> Codes:
        """Return the codes of items, -1 for those that the model does not know."""
        found = pc.fill_null(pc.index_in(pa.array(ids, pa.string()), value_set=self._catalogue.item_ids), -1)
        return np.asarray(found.to_numpy().astype(np.int64))

    def _few(self, left: frozenset[str]) -> _Few:
        codes = np.sort(self.codes(list(left)))
        codes = codes[codes >= 0]
        return _Few(codes, self._catalogue.item_ids.take(pa.array(codes)).to_pylist())


def narrow_answers(recommender: Recommender, options: Options) -> NarrowAnswers | None:
    """Return what orders a few items for a query; None for models that have to be asked for long lists."""
    if isinstance(recommender, UserPersonalization):
        return _OfUsers(recommender)
    if isinstance(recommender, RelatedItems):
        return _Related(recommender, options)
    if isinstance(recommender, PopularityCount):
        return _Popular(recommender.catalogue)
    return None


class _OfUsers:
    """Give each item the score that it has in the list of the whole catalogue, which the best item's tells.

    Nothing is explored: all that could be is in the list already. What the model has no score for comes last.
    """

    def __init__(self, model: UserPersonalization) -> None:
        self._model = model
        self._scorer = PairScorer(model)
        self._rank = np.argsort(model.catalogue.by_popularity())
        self._find = _Finder(model.catalogue)

    def __call__(self, queries: Sequence[Query], left: Sequence[frozenset[str]]) -> list[Answer]:
        users = self._scorer.users([query.user_id or "" for query in queries])
        best = list(self._model.answer(queries, 1, Options()))
        few = [self._find.few(ids) for ids in left]
        lengths = [len(each.codes) for each in few]
        best_odds = self._scorer.log_odds(users, self._find.codes([one.ids[0] for one in best]))
        odds = self._scorer.log_odds(np.repeat(users, lengths), np.concatenate([each.codes for each in few]))
        best_scores = np.array([one.scores[0] if one.scores else 0.0 for one in best])
        scores = np.exp(odds - np.repeat(best_odds, lengths)) * np.repeat(best_scores, lengths)
        parts = np.split(np.nan_to_num(scores), np.cumsum(lengths)[:-1])
        # A user's reasons are those of the best item: they tell popular lists from others.
        reasons = [one.reasons[0] if one.reasons else None for one in best]
        ties = [
            each.codes if user >= 0 else self._rank[each.codes] for user, each in zip(users, few, strict=True)
        ]
        return [_scored(*each) for each in zip(few, ties, parts, reasons, strict=True)]


def _scored(few: _Few, ties: Codes, scores: NDArray[np.float64], reason: list[str] | None) -> Answer:
    order = np.lexsort((ties, -scores))
    ids = few.ordered(order)
    return Answer(ids, scores[order].tolist(), None if reason is None else [reason for _ in ids])


class _Popular:
    """Order items by popularity, for everybody alike."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._rank = np.argsort(catalogue.by_popularity())
        self._find = _Finder(catalogue)

    def __call__(self, queries: Sequence[Query], left: Sequence[frozenset[str]]) -> list[Answer]:
        few = [self._find.few(ids) for ids in left]
        return [Answer(each.ordered(np.argsort(self._rank[each.codes]))) for each in few]


class _Related:
    """Order items by likeness, then, where there is none, by popularity; never the item itself."""

    def __init__(self, model: RelatedItems, options: Options) -> None:
        self._model = model
        self._options = options
        self._rank = np.argsort(model.catalogue.by_popularity())
        self._find = _Finder(model.catalogue)

    def __call__(self, queries: Sequence[Query], left: Sequence[frozenset[str]]) -> list[Answer]:
        items = self._find.codes([query.item_id or "" for query in queries])
        known = items[items >= 0]
        near = iter(self._model.similarities(known, self._options) if len(known) else ())
        found = []
        for item, ids in zip(items.tolist(), left, strict=True):
            few = self._find.few(ids)
            likeness = np.maximum(next(near)[few.codes], 0) if item >= 0 else np.zeros(len(few.codes))
            # As in the whole list: alike items by code among equals, the others by popularity.
            order = np.lexsort((np.where(likeness > 0, few.codes, self._rank[few.codes]), -likeness))
            found.append(Answer(few.ordered(order[few.codes[order] != item])))
        return found
