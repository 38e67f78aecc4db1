"""Learn the weights of aws-user-personalization."""

from dataclasses import replace

import numpy as np

from personalize_local.engine.blend import Lesson, learn_blend, taste_of
from personalize_local.engine.errors import TrainingDataError
from personalize_local.engine.factors import choose_items, learn_factors
from personalize_local.engine.histories import Histories, ItemSignals, measure_items, summarise
from personalize_local.engine.interactions import BoolArray, IntArray, Interactions
from personalize_local.engine.split import LABEL_SHARE, MIN_ROWS, hash_ids, newest_rows
from personalize_local.engine.weights import Settings, Weights

# Users whose newest rows teach the blend; more of them change its weights little.
MAX_LESSON_USERS = 1_300
# The others keep all their rows, so that factors exist for items that came up only lately.
LESSON_SHARE = 0.6
# One lesson user in so many gives items of any time, the others their newest rows.
ANY_TIME_EVERY = 4
SEED = 11
LESSON_SALT = "lesson"
# Items that users can discover. Beyond the best sold few thousand nothing reaches the first places.
MAX_POOL_ITEMS = 2_000


def learn(interactions: Interactions, settings: Settings) -> Weights:
    """Learn blend and factors from the given rows only.

    :raises TrainingDataError: when no user has two interactions.
    """
    lesson = make_lesson(interactions)
    items = choose_items(lesson.signals.users)
    factors = learn_factors(lesson.histories, items, interactions.num_items, settings.num_factors)
    taste = taste_of(lesson.histories, factors, settings.half_life)
    blend = learn_blend(lesson, factors, taste)
    known = np.ones(interactions.num_items, dtype=np.bool_)
    blank = Weights(settings, interactions.item_ids, known, lesson.signals, factors, lesson.pool, blend)
    return relearn(blank, interactions)


def relearn(weights: Weights, interactions: Interactions) -> Weights:
    """Keep the blend; measure items and learn factors on the given rows."""
    histories = summarise(interactions, interactions.latest)
    signals = measure_items(interactions, histories)
    items = choose_items(signals.users)
    factors = learn_factors(histories, items, interactions.num_items, weights.settings.num_factors)
    return replace(weights, signals=signals, factors=factors, pool=choose_pool(signals))


def make_lesson(interactions: Interactions) -> Lesson:
    """Take the newest rows away from some users and ask for them."""
    users = lesson_users(interactions)
    any_time = users[::ANY_TIME_EVERY]
    newest = np.setdiff1d(users, any_time) if len(users) > 1 else users
    histories = summarise(interactions, interactions.latest)
    is_label = of_users(interactions, newest) & newest_rows(interactions)
    is_label |= of_users(interactions, any_time) & any_rows(interactions, histories)
    signals = measure_items(interactions, histories)
    return Lesson(
        users=newest,
        any_time_users=any_time,
        histories=summarise(interactions.where(~is_label), interactions.latest),
        labels=interactions.where(is_label),
        signals=signals,
        pool=choose_pool(signals),
        latest=interactions.latest,
    )


def of_users(interactions: Interactions, users: IntArray) -> BoolArray:
    """Mark the rows of some users."""
    chosen = np.zeros(interactions.num_users, dtype=np.bool_)
    chosen[users] = True
    return np.asarray(chosen[interactions.user])


def any_rows(interactions: Interactions, histories: Histories) -> BoolArray:
    """Mark all rows of some of each user's items: a tenth, at least one, but never all of them."""
    user = histories.user
    pairs = np.diff(histories.indptr)
    order = np.lexsort((np.random.default_rng(SEED).random(len(user)), user))
    rank = np.arange(len(user)) - histories.indptr[user]
    count = np.minimum(np.ceil(LABEL_SHARE * pairs), pairs - 1)
    taken = order[rank < count[user]]
    keys = user[taken] * interactions.num_items + histories.item[taken]
    return np.isin(interactions.user * interactions.num_items + interactions.item, keys)


def lesson_users(interactions: Interactions) -> IntArray:
    """Choose users with two rows and more, by the hashes of their ids."""
    able = np.flatnonzero(interactions.rows_per_user() >= MIN_ROWS)
    if len(able) == 0:
        raise TrainingDataError("No user has at least 2 interactions.")
    count = min(MAX_LESSON_USERS, max(1, round(LESSON_SHARE * len(able))))
    hashes = hash_ids(interactions.user_ids.take(able).to_pylist(), LESSON_SALT)
    return np.sort(able[np.argsort(hashes, kind="stable")[:count]])


def choose_pool(signals: ItemSignals) -> IntArray:
    """Choose the items that can be discovered: popular over the whole time or lately; sorted codes."""
    liking = np.log1p(signals.users) + np.log1p(signals.recent)
    order = np.lexsort((np.arange(len(liking)), -liking))
    return np.sort(order[:MAX_POOL_ITEMS])
