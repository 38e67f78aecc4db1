"""Compute the metrics of GetSolutionMetrics by the service's definitions.

https://docs.aws.amazon.com/personalize/latest/dg/working-with-training-metrics.html
"""

from collections.abc import Iterable, Sequence, Set
from math import log2

CUT_OFFS = (5, 10, 25)
LIST_LENGTH = max(CUT_OFFS)
NDCG = "normalized_discounted_cumulative_gain_at_"
PRECISION = "precision_at_"
RECIPROCAL_RANK = "mean_reciprocal_rank_at_25"
COVERAGE = "coverage"


def ndcg(hits: Sequence[bool], num_relevant: int, k: int) -> float:
    """Compute the normalised discounted cumulative gain of one list.

    :param hits: whether the item at each position is relevant, best position first.
    :param num_relevant: how many relevant items there are, found or not; at least one.
    """
    gain = sum(1 / log2(position + 1) for position, hit in enumerate(hits[:k], start=1) if hit)
    ideal = sum(1 / log2(position + 1) for position in range(1, min(num_relevant, k) + 1))
    return gain / ideal


def precision(hits: Sequence[bool], k: int) -> float:
    """Compute the share of relevant items among the first k places, filled or not."""
    return sum(hits[:k]) / k


def reciprocal_rank(hits: Sequence[bool], k: int = LIST_LENGTH) -> float:
    """Compute 1 / position of the first relevant item, 0 when there is none in the first k."""
    return next((1 / position for position, hit in enumerate(hits[:k], start=1) if hit), 0.0)


def accuracy_metrics(pairs: Iterable[tuple[Sequence[str], Set[str]]]) -> dict[str, float]:
    """Average the accuracy metrics over (recommended items, relevant items) of the held-out users.

    Without any held-out user all metrics are 0.
    """
    rows = [metrics_of_one(recommended, relevant) for recommended, relevant in pairs]
    names = metrics_of_one([], {""})
    return {name: sum(row[name] for row in rows) / max(1, len(rows)) for name in names}


def metrics_of_one(recommended: Sequence[str], relevant: Set[str]) -> dict[str, float]:
    """Compute all accuracy metrics of one user's list."""
    hits = [item in relevant for item in recommended]
    result = {RECIPROCAL_RANK: reciprocal_rank(hits)}
    for k in CUT_OFFS:
        result[f"{NDCG}{k}"] = ndcg(hits, len(relevant), k)
        result[f"{PRECISION}{k}"] = precision(hits, k)
    return result


def coverage(lists: Iterable[Sequence[str]], num_items: int) -> float:
    """Compute the share of the catalogue that occurs in the lists.

    :param num_items: distinct items in Interactions and Items together.
    """
    return len({item for items in lists for item in items}) / num_items
