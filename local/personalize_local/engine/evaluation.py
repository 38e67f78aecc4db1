"""Split interactions, and compute the metrics of GetSolutionMetrics, by the service's definitions.

90 % of users train with all their rows. For each held-out user the oldest 90 % of rows are the history, the newest 10 %
are the labels.
https://docs.aws.amazon.com/personalize/latest/dg/working-with-training-metrics.html
The service does not publish how it chooses users and rounds; that is our choice.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from math import log2

import numpy as np

from personalize_local.engine.base import Exploration, Options, Query, Recommender
from personalize_local.engine.interactions import BoolArray, IntArray, Interactions

HELD_OUT_SHARE = 0.1
LABEL_SHARE = 0.1
# A history and a label need one row each.
MIN_ROWS = 2
SALT = "held-out"
CUT_OFFS = (5, 10, 25)
LIST_LENGTH = max(CUT_OFFS)
NDCG = "normalized_discounted_cumulative_gain_at_"
PRECISION = "precision_at_"
RECIPROCAL_RANK = "mean_reciprocal_rank_at_25"
COVERAGE = "coverage"
# Coverage needs a list per user; more users would change it little.
MAX_COVERAGE_USERS = 3_000


@dataclass(frozen=True)
class Split:
    """The three parts of a split; all keep the codes of the whole."""

    train: Interactions
    history: Interactions
    labels: Interactions


def split_users(interactions: Interactions, share: float = HELD_OUT_SHARE, salt: str = SALT) -> Split:
    """Hold out a share of the users; those with fewer than two rows are skipped.

    The same ids give the same held-out users for every recipe. At least one user is held out, and one trains.
    """
    count = min(max(1, round(share * interactions.num_users)), interactions.num_users - 1)
    return split_off(interactions, choose_users(interactions, count, salt))


def split_off(interactions: Interactions, held_out: BoolArray) -> Split:
    """Split off the given users, shape (num_users,)."""
    is_held_out = held_out[interactions.user]
    is_label = newest_rows(interactions)
    usable = (interactions.rows_per_user() >= MIN_ROWS)[interactions.user]
    return Split(
        train=interactions.where(~is_held_out),
        history=interactions.where(is_held_out & usable & ~is_label),
        labels=interactions.where(is_held_out & usable & is_label),
    )


def newest_rows(interactions: Interactions) -> BoolArray:
    """Mark each user's newest 10 % of rows, rounded up, at least one; shape (rows,)."""
    rows = interactions.rows_per_user()
    labels = np.maximum(1, np.ceil(np.round(LABEL_SHARE * rows, 9))).astype(np.int64)
    return np.asarray(interactions.rank_in_user() >= (rows - labels)[interactions.user])


def choose_users(interactions: Interactions, count: int, salt: str) -> BoolArray:
    """Choose the users with the smallest hashes, shape (num_users,)."""
    hashes = hash_ids(interactions.user_ids.to_pylist(), salt)
    chosen = np.zeros(interactions.num_users, dtype=np.bool_)
    chosen[np.argsort(hashes, kind="stable")[:count]] = True
    return chosen


def hash_ids(ids: list[str], salt: str) -> IntArray:
    """Hash ids to 63 bits, alike in every process (Python's own hash() is salted)."""
    key = salt.encode()
    digests = b"".join(hashlib.blake2b(i.encode(), digest_size=8, key=key).digest() for i in ids)
    return (np.frombuffer(digests, dtype="<u8") >> np.uint64(1)).astype(np.int64)


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
    """Compute the share of the catalog that occurs in the lists.

    :param num_items: distinct items in Interactions and Items together.
    """
    return len({item for items in lists for item in items}) / num_items


def accuracy_of(recommender: Recommender, labels: Interactions) -> dict[str, float]:
    """Compute the accuracy metrics, without exploration, over the users that have labels."""
    relevant = dict(labels_per_user(labels))
    lists = recommender.answer(of_users(relevant), LIST_LENGTH, Options())
    return accuracy_metrics(zip((found.ids for found in lists), relevant.values(), strict=True))


def of_users(user_ids: Iterable[str]) -> list[Query]:
    """Return a query per user."""
    return [Query(user_id=user_id) for user_id in user_ids]


def labels_per_user(labels: Interactions) -> Iterator[tuple[str, Set[str]]]:
    """Yield each user with the distinct items to find."""
    users, starts = np.unique(labels.user, return_index=True)
    for user, items in zip(users, np.split(labels.item, starts[1:]), strict=True):
        yield labels.user_ids[user].as_py(), set(labels.item_ids.take(items).to_pylist())


def coverage_of(recommender: Recommender, interactions: Interactions) -> dict[str, float]:
    """Compute coverage over the top 25 items of the users, with the service's default exploration.

    The service does not publish the number of items per user.
    """
    user_ids = interactions.user_ids.to_pylist()
    if len(user_ids) > MAX_COVERAGE_USERS:
        order = np.argsort(hash_ids(user_ids, COVERAGE), kind="stable")
        user_ids = [user_ids[position] for position in order[:MAX_COVERAGE_USERS]]
    lists = recommender.answer(of_users(user_ids), LIST_LENGTH, Options(Exploration()))
    return {COVERAGE: coverage((found.ids for found in lists), interactions.num_items)}
