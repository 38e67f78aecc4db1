"""Measure segments the way the service does: on the newest fifth of every user's interactions."""

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np

from personalize_local.engine.interactions import IntArray, Interactions
from personalize_local.engine.metrics import COVERAGE
from personalize_local.engine.segments import UserScorer, best_users

# https://docs.aws.amazon.com/personalize/latest/dg/working-with-training-metrics.html
TRAINED_SHARE = 0.8
TOP_SHARE = 0.01
HITS = "hits_at_1_percent"
RECALL = "recall_at_1_percent"


def split_rows(interactions: Interactions) -> tuple[Interactions, Interactions]:
    """Part every user's oldest 80 % of rows, rounded up, from the newest 20 %."""
    rows = interactions.rows_per_user()
    trained = np.ceil(np.round(TRAINED_SHARE * rows, 9)).astype(np.int64)
    is_old = interactions.rank_in_user() < trained[interactions.user]
    return interactions.where(is_old), interactions.where(~is_old)


def measure_segments(
    scorer: UserScorer, labels: Interactions, item_sets: Sequence[IntArray]
) -> dict[str, float]:
    """Compare the best 1 % of the users for each set of items with those who took one of them next.

    Sets that nobody took are left out. Coverage is the share of the users who are in at least one of the
    segments: the service's formula for it is not published.
    """
    top = max(1, ceil(TOP_SHARE * len(scorer.user_ids)))
    hits, recalls, covered = [], [], np.zeros(len(scorer.user_ids), dtype=np.bool_)
    for items, takers in with_takers(labels, item_sets):
        scores = scorer.for_item(int(items[0])) if len(items) == 1 else scorer.for_items(items)
        best = best_users(scores, top)
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
