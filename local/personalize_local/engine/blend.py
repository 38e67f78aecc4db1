"""Learn, from what users did next, how much habits, taste and popularity each say.

Two regressions give the odds that an item comes next: one for items of the user's own history (will it be
taken again?), one for all others (will it be discovered?). Where nothing is ever taken again, the first
one stands aside and own items go to the end of the list.
"""

from dataclasses import dataclass, replace

import numpy as np

from personalize_local.engine.factors import ItemFactors, fold_in
from personalize_local.engine.histories import Histories
from personalize_local.engine.interactions import Float32Array, FloatArray, IntArray
from personalize_local.engine.lesson import Lesson, discovery_pairs, is_label, own_share
from personalize_local.engine.logistic import Logistic

PENALTY = 3.0
# Any-time users speak no louder than so many users, each at most twice as loudly as the others: a prior that
# decides on small data and fades on large. There they would blur what is newest (8 % of NDCG@25 on films) and make
# discoveries look too easy against habits (1.5 % on The Complete Journey).
ANY_TIME_VOICES = 60.0
MAX_ANY_TIME_WEIGHT = 2.0
# Log odds of an item of the own history where nothing is ever taken again: after everything else.
NEVER_AGAIN = -1_000.0
# The newest few items say most of what comes next where tastes wander (films: a fifth of NDCG@25), little in a
# grocery; this share of the half-life of the recent taste is theirs.
BRIEF_SHARE = 1 / 8
# Habits are learned from features cut at so many standard deviations, so that squares do not run away.
HABIT_LIMIT = 4.0
# Columns of the discovery: up to here tastes, then signals of the item, then the size of the user's history, and
# last whether the item was taken at any time or newest. Neither taste nor signals may speak against an item; on
# small data the leave-one-out counts would make popularity do so, since they are lower by one for exactly the items
# that were taken.
TASTES, USER = 3, 6
# Whoever has bought much and never a popular item does not want it. Only such products are taken as leave the
# odds a product of a user's and an item's vector: the size with everything, signals with each other.
PRODUCTS = np.array(
    [(taste, USER) for taste in range(TASTES)]
    + [(first, second) for first in range(TASTES, USER + 1) for second in range(first, USER + 1)]
).T
NO_PRODUCTS = np.zeros((2, 0), dtype=np.int64)
# Log odds (3 %) above which discoveries turn out less likely than straight lines say; see Bend.
KNEE = -3.5
CHUNK_PAIRS = 100_000


@dataclass(frozen=True)
class Bend:
    """Flatten the log odds of discoveries above a knee: there, straight lines promise too much.

    Their order stays; what changes is their place among the own items.
    """

    knee: float = 0.0
    slope: float = 1.0

    def apply(self, scores: Float32Array) -> None:
        """Bend scores in place."""
        if self.slope >= 1:
            return
        flat = scores.reshape(-1)
        high = np.flatnonzero(flat > self.knee)
        flat[high] = self.knee + self.slope * (flat[high] - self.knee)


@dataclass(frozen=True)
class Blend:
    """Hold the two regressions; `again` is None where nothing was taken again."""

    again: Logistic | None
    discovery: Logistic
    bend: Bend = Bend()


def tastes_of(
    histories: Histories, factors: ItemFactors, half_life: float | None, users: IntArray | None = None
) -> list[Float32Array]:
    """Fold users in over all their history, its recent part and its newest items.

    :param half_life: of the recent part, in items; None makes all three the same.
    :param users: whom; None for everybody.
    """
    half_lives = [None] if half_life is None else [None, half_life, BRIEF_SHARE * half_life]
    tastes = [fold_in(histories, factors, one, users) for one in half_lives]
    return tastes * (TASTES // len(tastes))


def liking(factors: ItemFactors, taste: Float32Array, user: IntArray, item: IntArray) -> Float32Array:
    """Multiply the vectors of pairs, shape (pairs,); `user` are rows of the taste."""
    result = np.empty(len(user), dtype=np.float32)
    for start in range(0, len(user), CHUNK_PAIRS):
        part = slice(start, start + CHUNK_PAIRS)
        result[part] = np.einsum("ij,ij->i", factors.of_items(item[part]), taste[user[part]])
    return result


def habit_features(
    histories: Histories, pairs: IntArray | slice, signals: Float32Array, liking_of_pairs: Float32Array
) -> Float32Array:
    """Describe pairs of the histories."""
    return np.column_stack([histories.features[pairs], signals, liking_of_pairs])


def learn_blend(lesson: Lesson, factors: ItemFactors, half_life: float | None) -> Blend:
    """Fit both regressions."""
    users = np.union1d(lesson.users, lesson.any_time_users)
    tastes = tastes_of(lesson.histories, factors, half_life, users)
    again = learn_again(lesson, factors, tastes[0], users)
    voice = min(MAX_ANY_TIME_WEIGHT, ANY_TIME_VOICES / max(1, len(lesson.any_time_users)))
    discovery, bend = learn_discovery(lesson, factors, tastes, users, voice)
    # Without own items to compare with, only the order counts.
    return Blend(again, discovery, Bend() if again is None else bend)


def learn_again(
    lesson: Lesson, factors: ItemFactors, taste: Float32Array, users: IntArray
) -> Logistic | None:
    """Fit the odds that an item of the own history is taken again; None when none was."""
    chosen = np.zeros(len(lesson.histories.indptr) - 1, dtype=np.bool_)
    chosen[lesson.users] = True
    user = lesson.histories.user
    pairs = np.flatnonzero(chosen[user])
    user, item = user[pairs], lesson.histories.item[pairs]
    hit = is_label(lesson, user, item)
    if not hit.any():
        return None
    signals = lesson.signals.features(item, own_share(lesson, user, item))
    liked = liking(factors, taste, np.searchsorted(users, user), item)
    features = habit_features(lesson.histories, pairs, signals, liked)
    products = np.array(np.triu_indices(features.shape[1]))
    return Logistic.fit(
        features, hit.astype(np.float64), np.ones(len(hit)), PENALTY, products, limit=HABIT_LIMIT
    )


def learn_discovery(
    lesson: Lesson,
    factors: ItemFactors,
    tastes: list[Float32Array],
    users: IntArray,
    any_time_weight: float,
) -> tuple[Logistic, Bend]:
    """Fit the odds that an item not in the own history is taken next.

    :param any_time_weight: weight of the pairs of any-time users.
    """
    user, item, weight = discovery_pairs(lesson, users)
    hit = is_label(lesson, user, item)
    any_time = np.isin(user, lesson.any_time_users)
    rows = np.searchsorted(users, user)
    columns = [liking(factors, taste, rows, item) for taste in tastes]
    columns.append(lesson.signals.features(item, own_share(lesson, user, item)))
    # Items of any time are found again more easily than new ones; the last column takes the difference out of the
    # odds, and stands at 0 when recommending.
    features = np.column_stack([*columns, lesson.histories.size_of_users()[user], any_time])
    weight = np.where(hit, 1.0, weight) * np.where(any_time, any_time_weight, 1.0)
    taken = hit.astype(np.float64)
    model = Logistic.fit(features.astype(np.float32), taken, weight, PENALTY, PRODUCTS, rising=USER)
    newest = ~any_time
    return straighten(
        model, model.log_odds(features[newest].astype(np.float32)), taken[newest], weight[newest]
    )


def straighten(
    model: Logistic, score: Float32Array, taken: FloatArray, weight: FloatArray
) -> tuple[Logistic, Bend]:
    """Correct log odds by two straight lines that meet at the knee."""
    features = np.column_stack([np.minimum(score, KNEE), np.maximum(score - KNEE, 0)])
    line = Logistic.fit(features, taken, weight, PENALTY, NO_PRODUCTS, rising=2)
    (low, high), start = line.weights / line.deviation, line.intercept
    start -= float(line.mean @ (low, high))
    if low <= 0 or high >= low:
        return model, Bend()
    model = replace(
        model, weights=low * model.weights, form=low * model.form, intercept=low * model.intercept + start
    )
    return model, Bend(float(low * KNEE + start), float(high / low))
