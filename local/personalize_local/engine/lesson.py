"""Take something away from users, to learn from what is found again."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from personalize_local.engine.errors import TrainingDataError
from personalize_local.engine.histories import (
    RECENT_HALF_LIFE_DAYS,
    Histories,
    ItemSignals,
    days,
    fade,
    in_pairs,
    summarise,
)
from personalize_local.engine.interactions import (
    BoolArray,
    FloatArray,
    IntArray,
    Interactions,
    first_of_each,
)
from personalize_local.engine.split import LABEL_SHARE, MIN_ROWS, hash_ids, newest_rows

# Pairs of users and items that the blend is learned from; more of them change its weights little.
MAX_LESSON_PAIRS = 600_000
# The others keep all their rows, so that factors exist for items that came up only lately.
LESSON_SHARE = 0.6
# One lesson user in so many gives items of any time, the others their newest rows.
ANY_TIME_EVERY = 4
# Unseen items shown to the regression per user, and of all users; further ones would repeat what these say.
NEGATIVES_PER_USER = 300
MAX_NEGATIVES = 450_000
# Lets items without recent interactions be drawn, too.
LEAST_SHARE = 1e-3
SEED = 11
SALT = "lesson"


@dataclass(frozen=True)
class Lesson:
    """Hold what the regressions learn from: histories, and what was taken away from them to be found again.

    Of `users` it was the newest rows; of `any_time_users` items of any time, which only the discovery learns
    from: taste has to explain old purchases too, else whatever is sold lately would explain everything.
    `signals` were measured with the labels, whose share is taken off again pair by pair: the exact
    leave-one-out value.
    """

    users: IntArray
    any_time_users: IntArray
    histories: Histories
    labels: Interactions
    signals: ItemSignals
    latest: int

    @cached_property
    def label_keys(self) -> IntArray:
        """List the distinct labels as user code x items + item code, sorted."""
        keys = np.sort(self.labels.user * len(self.signals.users) + self.labels.item)
        return keys[first_of_each(keys)]


def make_lesson(interactions: Interactions, histories: Histories, signals: ItemSignals) -> Lesson:
    """Take rows away from some users.

    :param histories: of all rows, as are the signals.
    :raises TrainingDataError: when no user has two interactions.
    """
    users = lesson_users(interactions, histories)
    any_time = users[::ANY_TIME_EVERY]
    newest = np.setdiff1d(users, any_time) if len(users) > 1 else users
    is_taken = of_users(interactions, newest) & newest_rows(interactions)
    is_taken |= any_rows(interactions, histories, any_time)
    return Lesson(
        users=newest,
        any_time_users=any_time,
        histories=summarise(interactions.where(~is_taken)),
        labels=interactions.where(is_taken),
        signals=signals,
        latest=interactions.latest,
    )


def lesson_users(interactions: Interactions, histories: Histories) -> IntArray:
    """Choose users with two rows and more, by the hashes of their ids."""
    able = np.flatnonzero(interactions.rows_per_user() >= MIN_ROWS)
    if len(able) == 0:
        raise TrainingDataError("No user has at least 2 interactions.")
    hashes = hash_ids(interactions.user_ids.take(able).to_pylist(), SALT)
    chosen = able[np.argsort(hashes, kind="stable")[: max(1, round(LESSON_SHARE * len(able)))]]
    pairs = np.cumsum(np.diff(histories.indptr)[chosen])
    affordable = int(np.searchsorted(pairs, MAX_LESSON_PAIRS, side="right"))
    return np.sort(chosen[: max(1, affordable)])


def of_users(interactions: Interactions, users: IntArray) -> BoolArray:
    """Mark the rows of some users."""
    chosen = np.zeros(interactions.num_users, dtype=np.bool_)
    chosen[users] = True
    return np.asarray(chosen[interactions.user])


def any_rows(interactions: Interactions, histories: Histories, users: IntArray) -> BoolArray:
    """Mark all rows of some of each user's items: a tenth, at least one, but never all of them."""
    generator = np.random.default_rng(SEED)
    keys = []
    for user in users.tolist():
        items = histories.item[histories.indptr[user] : histories.indptr[user + 1]]
        count = min(int(np.ceil(LABEL_SHARE * len(items))), len(items) - 1)
        keys.append(user * interactions.num_items + generator.choice(items, count, replace=False))
    rows = np.flatnonzero(of_users(interactions, users))
    wanted = interactions.user[rows] * interactions.num_items + interactions.item[rows]
    result = np.zeros(len(interactions), dtype=np.bool_)
    result[rows[np.isin(wanted, np.concatenate(keys))]] = True
    return result


def own_share(lesson: Lesson, user: IntArray, item: IntArray) -> ItemSignals:
    """Tell what each user's labels brought to the signals of the item."""
    size = len(lesson.signals.users)
    labels = lesson.labels
    keys = lesson.label_keys
    place = np.searchsorted(keys, labels.user * size + labels.item)
    weight = fade(days(lesson.latest - labels.time), RECENT_HALF_LIFE_DAYS)
    brought = np.append(np.bincount(place, weight), 0.0)
    wanted = user * size + item
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = np.where(keys[found] == wanted, found, len(keys))
    own = (found < len(keys)) & ~in_pairs(lesson.histories, size, user, item)
    return ItemSignals(
        own.astype(np.float32), brought[found].astype(np.float32), np.zeros(0, dtype=np.float32)
    )


def is_label(lesson: Lesson, user: IntArray, item: IntArray) -> BoolArray:
    """Tell whether the user took the item next."""
    size = len(lesson.signals.users)
    keys = lesson.label_keys
    wanted = user * size + item
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[found] == wanted)


def discovery_pairs(lesson: Lesson, users: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Pick unseen pairs to learn from: all that were taken, and a sample of the others with its weight.

    Half of the sample falls on items as they are taken lately, half on all alike; weights make up for it.
    """
    size = len(lesson.signals.users)
    share = lesson.signals.recent.astype(np.float64) + LEAST_SHARE
    chance = 0.5 * share / share.sum() + 0.5 / size
    cumulated = np.cumsum(chance)
    count = max(1, min(NEGATIVES_PER_USER, MAX_NEGATIVES // len(users)))
    draws = np.random.default_rng(SEED).random((len(users), count)) * cumulated[-1]
    drawn = np.minimum(np.searchsorted(cumulated, draws, side="right"), size - 1)
    sampled, times = np.unique(users[:, None] * size + drawn, return_counts=True)
    taken = lesson.label_keys
    missed = taken[~np.isin(taken, sampled)]
    keys = np.append(sampled, missed)
    weight = np.append(times, np.ones(len(missed))) / (count * chance[keys % size])
    user, item = keys // size, keys % size
    unseen = ~in_pairs(lesson.histories, size, user, item)
    return user[unseen], item[unseen], weight[unseen]
