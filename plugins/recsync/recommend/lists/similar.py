"""Candidates for each person from what was bought together with what the person bought last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsync.recommend.lists.history import Similar
from recsync.recommend.lists.rules import Lists, ragged

# The last items somebody bought that candidates are looked up for.
SEEDS = 5
# Candidates kept per person.
CANDIDATES = 100
# People ranked at a time; bounds the memory at PEOPLE * SEEDS * candidates per item.
_PEOPLE = 10_000


def similar_items(
    similar: Similar, users: NDArray[np.int64], items: NDArray[np.int32], times: NDArray[np.int64], count: int
) -> Lists:
    """Rank for each user what was most often bought together with the last ``SEEDS`` items.

    :param users: the user (below ``count``) of each purchase.
    :returns: one row per user, best first (ties: lower position), -1 at the end of shorter rows.
    """
    ranked = np.full((count, CANDIDATES), -1, np.int32)
    order = np.lexsort((items, -times, users))
    seeds_of, seeds = users[order], items[order]
    last = rank_in_run(seeds_of) < SEEDS
    seeds_of, seeds = seeds_of[last], seeds[last]
    cuts = np.searchsorted(seeds_of, np.arange(0, count + _PEOPLE, _PEOPLE))
    for start, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        if end > start:
            _rank(similar, seeds_of[start:end], seeds[start:end], ranked)
    return ranked


def _rank(similar: Similar, seeds_of: NDArray[np.int64], seeds: NDArray[np.int32], ranked: Lists) -> None:
    lengths = similar.starts[seeds + 1] - similar.starts[seeds]
    places = ragged(similar.starts[seeds], lengths)
    if not len(places):
        return
    items = len(similar.starts) - 1
    pairs = np.repeat(seeds_of, lengths) * items + similar.items[places]
    order = np.argsort(pairs)
    pairs = pairs[order]
    firsts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
    weights = np.add.reduceat(similar.weights[places[order]], firsts)
    keys = pairs[firsts]
    users, found = np.divmod(keys, items)
    order = np.lexsort((found, -weights, users))
    users, found = users[order], found[order]
    rank = rank_in_run(users)
    kept = rank < CANDIDATES
    ranked[users[kept], rank[kept]] = found[kept]


def rank_in_run(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the places of each run of equal values from 0."""
    places = np.arange(len(values))
    starts = np.ones(len(values), np.bool_)
    starts[1:] = values[1:] != values[:-1]
    ranks: NDArray[np.int64] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return ranks
