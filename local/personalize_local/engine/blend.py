"""Learn, from what users did next, how much habits, taste and popularity each say.

Two regressions give the odds that an item comes next: one for items of the user's own history (will it be
taken again?), one for all others (will it be discovered?). Where nothing is ever taken again, the first
one stands aside and own items go to the end of the list.
"""

from dataclasses import dataclass

import numpy as np

from personalize_local.engine.factors import ItemFactors, fold_in
from personalize_local.engine.histories import (
    RECENT_HALF_LIFE_DAYS,
    Histories,
    ItemSignals,
    days,
    fade,
    in_pairs,
)
from personalize_local.engine.interactions import BoolArray, Float32Array, FloatArray, IntArray, Interactions
from personalize_local.engine.logistic import Logistic

PENALTY = 3.0
# Unseen items shown to the regression per user; further ones would repeat what these say.
NEGATIVES_PER_USER = 300
SEED = 5
# Any-time users speak twice as loudly as the others where nothing is ever taken again. Where things are, they make
# discoveries look too easy against habits (1.5 % of NDCG@25 on The Complete Journey), so there they speak no
# louder than so many users: a prior that decides on small data and fades on large.
ANY_TIME_VOICES = 60.0
MAX_ANY_TIME_WEIGHT = 2.0
# Neither taste nor popularity may speak against an item; on small data the leave-one-out counts would make
# popularity do so, since they are lower by one for exactly the items that were taken.
RISING = 5
# Log odds of an item of the own history where nothing is ever taken again: after everything else.
NEVER_AGAIN = -30.0


@dataclass(frozen=True)
class Lesson:
    """Hold what the regressions learn from: histories, and what was taken away from them to be found again.

    Of `users` it was the newest rows; of `any_time_users` items of any time, which only the discovery learns
    from: taste has to explain old purchases too, else whatever is sold lately would explain everything.
    `pool` are the items that may be discovered. `signals` were measured with the labels, whose share is
    taken off again pair by pair: the exact leave-one-out value.
    """

    users: IntArray
    any_time_users: IntArray
    histories: Histories
    labels: Interactions
    signals: ItemSignals
    pool: IntArray
    latest: int


@dataclass(frozen=True)
class Blend:
    """Hold the two regressions; `again` is None where nothing was taken again."""

    again: Logistic | None
    discovery: Logistic


@dataclass(frozen=True)
class Taste:
    """Hold two vectors per user, folded in over all the history and over its recent part."""

    steady: Float32Array
    recent: Float32Array


def taste_of(histories: Histories, factors: ItemFactors, half_life: float | None) -> Taste:
    """Fold users in twice; with `half_life` None both are the same."""
    steady = fold_in(histories, factors, None)
    return Taste(steady, steady if half_life is None else fold_in(histories, factors, half_life))


def again_features(histories: Histories, signals: ItemSignals, pairs: BoolArray | slice) -> Float32Array:
    """Describe pairs of the histories."""
    item = histories.item[pairs]
    user = histories.user[pairs]
    return np.hstack([histories.features[pairs], histories.user_features[user], signals.features(item)])


def learn_blend(lesson: Lesson, factors: ItemFactors, taste: Taste) -> Blend:
    """Fit both regressions."""
    again = learn_again(lesson)
    any_time_weight = MAX_ANY_TIME_WEIGHT
    if again is not None:
        any_time_weight = min(MAX_ANY_TIME_WEIGHT, ANY_TIME_VOICES / max(1, len(lesson.any_time_users)))
    return Blend(again, learn_discovery(lesson, factors, taste, any_time_weight))


def own_share(lesson: Lesson, user: IntArray, item: IntArray) -> ItemSignals:
    """Tell what each user's labels brought to the signals of the item."""
    size = len(lesson.signals.users)
    labels = lesson.labels
    keys, place = np.unique(labels.user * size + labels.item, return_inverse=True)
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
    keys = np.unique(lesson.labels.user * size + lesson.labels.item)
    wanted = user * size + item
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[found] == wanted)


def learn_again(lesson: Lesson) -> Logistic | None:
    """Fit the odds that an item of the own history is taken again; None when none was."""
    histories, signals = lesson.histories, lesson.signals
    chosen = np.zeros(len(histories.indptr) - 1, dtype=np.bool_)
    chosen[lesson.users] = True
    pairs = chosen[histories.user]
    user, item = histories.user[pairs], histories.item[pairs]
    hit = is_label(lesson, user, item)
    if not hit.any():
        return None
    features = np.hstack(
        [
            histories.features[pairs],
            histories.user_features[user],
            signals.features(item, own_share(lesson, user, item)),
        ]
    )
    return Logistic.fit(features, hit.astype(np.float64), np.ones(len(hit)), PENALTY, quadratic=True)


def learn_discovery(lesson: Lesson, factors: ItemFactors, taste: Taste, any_time_weight: float) -> Logistic:
    """Fit the odds that an item of the pool, not in the own history, is taken next.

    :param any_time_weight: weight of the pairs of any-time users.
    """
    user, item, weight = discovery_pairs(lesson)
    hit = is_label(lesson, user, item)
    row = np.where(factors.column[item] < 0, 0, factors.column[item])
    vectors = factors.vectors[row] * (factors.column[item] >= 0)[:, None]
    steady = np.einsum("ij,ij->i", vectors, taste.steady[user])
    recent = np.einsum("ij,ij->i", vectors, taste.recent[user])
    any_time = np.isin(user, lesson.any_time_users)
    features = np.column_stack(
        [
            steady,
            recent,
            lesson.signals.features(item, own_share(lesson, user, item)),
            lesson.histories.user_features[user],
            # Items of any time are found again more easily than new ones; this takes the difference out of the
            # odds, and stands at 0 when recommending.
            any_time,
        ]
    )
    weight = np.where(hit, 1.0, weight) * np.where(any_time, any_time_weight, 1.0)
    return Logistic.fit(features.astype(np.float32), hit.astype(np.float64), weight, PENALTY, rising=RISING)


def discovery_pairs(lesson: Lesson) -> tuple[IntArray, IntArray, FloatArray]:
    """Pick unseen pairs to learn from: all that were taken, and a sample of the others with its weight."""
    size = len(lesson.signals.users)
    pool = lesson.pool
    count = min(NEGATIVES_PER_USER, len(pool))
    generator = np.random.default_rng(SEED)
    users = np.union1d(lesson.users, lesson.any_time_users)
    sample = np.concatenate([generator.choice(pool, count, replace=False) for _ in users])
    sampled = np.repeat(users, count) * size + sample
    in_pool = np.isin(lesson.labels.item, pool)
    taken = lesson.labels.user[in_pool] * size + lesson.labels.item[in_pool]
    keys = np.union1d(sampled, taken)
    user, item = keys // size, keys % size
    unseen = ~in_pairs(lesson.histories, size, user, item)
    weight = np.full(int(unseen.sum()), len(pool) / count)
    return user[unseen], item[unseen], weight
