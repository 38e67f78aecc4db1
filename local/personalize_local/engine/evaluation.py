"""Measure a fitted recommender on held-out users."""

from collections.abc import Iterable, Iterator, Set

import numpy as np

from personalize_local.engine.base import Exploration, Options, Query, Recommender
from personalize_local.engine.interactions import Interactions
from personalize_local.engine.metrics import COVERAGE, LIST_LENGTH, accuracy_metrics, coverage
from personalize_local.engine.split import hash_ids

# Coverage needs a list per user; so many users show nearly all of what more of them would.
MAX_COVERAGE_USERS = 3_000


def accuracy_of(recommender: Recommender, labels: Interactions) -> dict[str, float]:
    """Compute the accuracy metrics, without exploration, over the users that have labels."""
    relevant = dict(labels_per_user(labels))
    lists = recommender.answer(of_users(relevant), LIST_LENGTH, Options())
    return accuracy_metrics(zip((found.ids for found in lists), relevant.values(), strict=True))


def of_users(user_ids: Iterable[str]) -> list[Query]:
    """Ask for the users' lists."""
    return [Query(user_id=user_id) for user_id in user_ids]


def labels_per_user(labels: Interactions) -> Iterator[tuple[str, Set[str]]]:
    """Yield each user with the distinct items to find."""
    users, starts = np.unique(labels.user, return_index=True)
    for user, items in zip(users, np.split(labels.item, starts[1:]), strict=True):
        yield labels.user_ids[user].as_py(), set(labels.item_ids.take(items).to_pylist())


def coverage_of(recommender: Recommender, interactions: Interactions) -> dict[str, float]:
    """Compute coverage: what occurs in the 25 best of the users, with the service's default exploration.

    The depth the service counts to is not published.
    """
    user_ids = interactions.user_ids.to_pylist()
    if len(user_ids) > MAX_COVERAGE_USERS:
        order = np.argsort(hash_ids(user_ids, COVERAGE), kind="stable")
        user_ids = [user_ids[position] for position in order[:MAX_COVERAGE_USERS]]
    lists = recommender.answer(of_users(user_ids), LIST_LENGTH, Options(Exploration()))
    return {COVERAGE: coverage((found.ids for found in lists), interactions.num_items)}
