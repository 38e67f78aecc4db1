"""Split as Amazon Personalize does, and measure lists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.engine.scoring import FOLDS
from personalize_local.engine.evaluation import LIST_LENGTH, Split, hash_ids, ndcg, split_off
from personalize_local.engine.interactions import Interactions

_SALT = "held-out"


def splits(interactions: Interactions, folds: int) -> Iterator[Split]:
    """Yield some of the ten splits whose held-out users do not overlap."""
    order = np.argsort(hash_ids(interactions.user_ids.to_pylist(), _SALT), kind="stable")
    for part in np.array_split(order, FOLDS)[:folds]:
        held_out = np.zeros(interactions.num_users, dtype=np.bool_)
        held_out[part] = True
        yield split_off(interactions, held_out)


def wanted(labels: Interactions, history: Interactions, again: bool) -> dict[int, set[int]]:
    """Return the items to find per user; without those of the history unless `again`."""
    keys = np.unique(labels.user * labels.num_items + labels.item)
    if not again:
        keys = keys[~np.isin(keys, history.user * history.num_items + history.item)]
    found: dict[int, set[int]] = {}
    for user, item in zip(
        (keys // labels.num_items).tolist(), (keys % labels.num_items).tolist(), strict=True
    ):
        found.setdefault(user, set()).add(item)
    return found


def measure(lists: np.ndarray, relevant: dict[int, set[int]]) -> list[float]:
    """Compute NDCG@25 of each user's list of item codes."""
    return [
        ndcg([item in items for item in own], len(items), LIST_LENGTH)
        for own, items in zip(lists.tolist(), relevant.values(), strict=True)
    ]


def top(scores: np.ndarray) -> np.ndarray:
    """Return the positions of the 25 highest scores per row, best first."""
    best = np.argpartition(-scores, LIST_LENGTH - 1, axis=1)[:, :LIST_LENGTH]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)
