"""Rank only the items that a filter allows, instead of the whole catalog.

If a filter allows at most as many items as requested, all of them are returned and only need sorting. This also finds
items that the model would not recommend unfiltered.
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
from personalize_local.engine.catalog import Catalog
from personalize_local.engine.popularity import PopularityCount
from personalize_local.engine.ranking import PairScorer
from personalize_local.engine.related import RelatedItems
from personalize_local.engine.user_personalization import UserPersonalization

Codes = NDArray[np.int64]
# Takes queries with the allowed items of each; returns one answer per query, with all allowed items known to the model.
FilteredRanker = Callable[[Sequence[Query], Sequence[frozenset[str]]], list[Answer]]

# Allowed sets to cache: lines with the same filter values share one.
_CACHED_SETS = 128


@dataclass(frozen=True)
class _KnownItems:
    """Allowed items known to a model, sorted by their codes."""

    codes: Codes
    ids: list[str]

    def ordered(self, order: Codes) -> list[str]:
        return [self.ids[place] for place in order.tolist()]


class _ItemIndex:
    """Find items in a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.items_of = lru_cache(_CACHED_SETS)(self._items_of)

    def codes(self, ids: Sequence[str]) -> Codes:
        """Return the codes of items, -1 for unknown ones."""
        found = pc.fill_null(pc.index_in(pa.array(ids, pa.string()), value_set=self._catalog.item_ids), -1)
        return np.asarray(found.to_numpy().astype(np.int64))

    def _items_of(self, allowed: frozenset[str]) -> _KnownItems:
        codes = np.sort(self.codes(list(allowed)))
        codes = codes[codes >= 0]
        return _KnownItems(codes, self._catalog.item_ids.take(pa.array(codes)).to_pylist())


def filtered_ranker(recommender: Recommender, options: Options) -> FilteredRanker | None:
    """Return the ranker of a model; None if longer lists of the model must be filtered instead."""
    if isinstance(recommender, UserPersonalization):
        return _UserRanker(recommender)
    if isinstance(recommender, RelatedItems):
        return _RelatedRanker(recommender, options)
    if isinstance(recommender, PopularityCount):
        return _PopularRanker(recommender.catalog)
    return None


class _UserRanker:
    """Score each item as in the list over the whole catalog, by scaling from the best item's score.

    Exploration is not needed, because every allowed item is in the list. Items without a score come last.
    """

    def __init__(self, model: UserPersonalization) -> None:
        self._model = model
        self._scorer = PairScorer(model)
        self._rank = np.argsort(model.catalog.by_popularity())
        self._index = _ItemIndex(model.catalog)

    def __call__(self, queries: Sequence[Query], allowed: Sequence[frozenset[str]]) -> list[Answer]:
        users = self._scorer.users([query.user_id or "" for query in queries])
        best = list(self._model.answer(queries, 1, Options()))
        known = [self._index.items_of(ids) for ids in allowed]
        lengths = [len(each.codes) for each in known]
        best_odds = self._scorer.log_odds(users, self._index.codes([one.ids[0] for one in best]))
        odds = self._scorer.log_odds(
            np.repeat(users, lengths), np.concatenate([each.codes for each in known])
        )
        best_scores = np.array([one.scores[0] if one.scores else 0.0 for one in best])
        scores = np.exp(odds - np.repeat(best_odds, lengths)) * np.repeat(best_scores, lengths)
        parts = np.split(np.nan_to_num(scores), np.cumsum(lengths)[:-1])
        # All items of a list have the same reasons as the best one.
        reasons = [one.reasons[0] if one.reasons else None for one in best]
        ties = [
            each.codes if user >= 0 else self._rank[each.codes]
            for user, each in zip(users, known, strict=True)
        ]
        return [_scored(*each) for each in zip(known, ties, parts, reasons, strict=True)]


def _scored(known: _KnownItems, ties: Codes, scores: NDArray[np.float64], reason: list[str] | None) -> Answer:
    order = np.lexsort((ties, -scores))
    ids = known.ordered(order)
    return Answer(ids, scores[order].tolist(), None if reason is None else [reason for _ in ids])


class _PopularRanker:
    """Sort items by popularity, the same for all users."""

    def __init__(self, catalog: Catalog) -> None:
        self._rank = np.argsort(catalog.by_popularity())
        self._index = _ItemIndex(catalog)

    def __call__(self, queries: Sequence[Query], allowed: Sequence[frozenset[str]]) -> list[Answer]:
        known = [self._index.items_of(ids) for ids in allowed]
        return [Answer(each.ordered(np.argsort(self._rank[each.codes]))) for each in known]


class _RelatedRanker:
    """Sort items by similarity, unrelated ones by popularity; leave out the item itself."""

    def __init__(self, model: RelatedItems, options: Options) -> None:
        self._model = model
        self._options = options
        self._rank = np.argsort(model.catalog.by_popularity())
        self._index = _ItemIndex(model.catalog)

    def __call__(self, queries: Sequence[Query], allowed: Sequence[frozenset[str]]) -> list[Answer]:
        items = self._index.codes([query.item_id or "" for query in queries])
        known = items[items >= 0]
        near = iter(self._model.similarities(known, self._options) if len(known) else ())
        found = []
        for item, ids in zip(items.tolist(), allowed, strict=True):
            items_left = self._index.items_of(ids)
            similarity = (
                np.maximum(next(near)[items_left.codes], 0) if item >= 0 else np.zeros(len(items_left.codes))
            )
            # As in the unfiltered list: ties by code, unrelated items by popularity.
            order = np.lexsort(
                (np.where(similarity > 0, items_left.codes, self._rank[items_left.codes]), -similarity)
            )
            found.append(Answer(items_left.ordered(order[items_left.codes[order] != item])))
        return found
