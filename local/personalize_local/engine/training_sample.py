"""Draw the training sample: users with some rows held out as labels for the ensemble."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from personalize_local.engine.evaluation import LABEL_SHARE, MIN_ROWS, hash_ids, newest_rows
from personalize_local.engine.histories import (
    RECENT_HALF_LIFE_DAYS,
    Histories,
    ItemSignals,
    days,
    fade,
    in_pairs,
    summarise,
)
from personalize_local.engine.inputs import TrainingDataError
from personalize_local.engine.interactions import (
    BoolArray,
    FloatArray,
    IntArray,
    Interactions,
    first_of_each,
)

# Upper bound of (user, item) pairs in the sample; more pairs change the weights little.
MAX_SAMPLE_PAIRS = 600_000
# The other users keep all their rows, so that new items get factors, too.
SAMPLE_SHARE = 0.6
# Every 4th sample user holds out random items, the others their newest rows.
ANY_TIME_EVERY = 4
# Unseen items in the sample, per user and in total.
NEGATIVES_PER_USER = 300
MAX_NEGATIVES = 450_000
# Keeps the chance of items without recent interactions above 0.
LEAST_SHARE = 1e-3
SEED = 11
SALT = "lesson"  # chooses the users, so another text would train other models


@dataclass(frozen=True)
class TrainingSample:
    """Histories without the held-out rows, and these rows as labels.

    Labels are the newest rows of `users`, and all rows of random items of `any_time_users`. Only the discovery model
    learns from the latter: embeddings must explain old purchases, too, or recent popularity would explain everything.
    `signals` include the labels; :func:`own_share` gives what to subtract for the exact leave-one-out value.
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


def draw_training_sample(
    interactions: Interactions, histories: Histories, signals: ItemSignals
) -> TrainingSample:
    """Hold out rows of some users.

    :param histories: of all rows, as are the signals.
    :raises TrainingDataError: when no user has two interactions.
    """
    users = sample_users(interactions, histories)
    any_time = users[::ANY_TIME_EVERY]
    newest = np.setdiff1d(users, any_time) if len(users) > 1 else users
    is_taken = of_users(interactions, newest) & newest_rows(interactions)
    is_taken |= any_rows(interactions, histories, any_time)
    return TrainingSample(
        users=newest,
        any_time_users=any_time,
        histories=summarise(interactions.where(~is_taken)),
        labels=interactions.where(is_taken),
        signals=signals,
        latest=interactions.latest,
    )


def sample_users(interactions: Interactions, histories: Histories) -> IntArray:
    """Choose among users with at least two rows by the hashes of their ids."""
    able = np.flatnonzero(interactions.rows_per_user() >= MIN_ROWS)
    if len(able) == 0:
        raise TrainingDataError("No user has at least 2 interactions.")
    hashes = hash_ids(interactions.user_ids.take(able).to_pylist(), SALT)
    chosen = able[np.argsort(hashes, kind="stable")[: max(1, round(SAMPLE_SHARE * len(able)))]]
    pairs = np.cumsum(np.diff(histories.indptr)[chosen])
    affordable = int(np.searchsorted(pairs, MAX_SAMPLE_PAIRS, side="right"))
    return np.sort(chosen[: max(1, affordable)])


def of_users(interactions: Interactions, users: IntArray) -> BoolArray:
    """Mark the rows of some users."""
    chosen = np.zeros(interactions.num_users, dtype=np.bool_)
    chosen[users] = True
    return np.asarray(chosen[interactions.user])


def any_rows(interactions: Interactions, histories: Histories, users: IntArray) -> BoolArray:
    """Mark all rows of a random tenth of each user's items: at least one item, but never all."""
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


def own_share(sample: TrainingSample, user: IntArray, item: IntArray) -> ItemSignals:
    """Compute what each user's labels contributed to the signals of the item."""
    size = len(sample.signals.users)
    labels = sample.labels
    keys = sample.label_keys
    place = np.searchsorted(keys, labels.user * size + labels.item)
    weight = fade(days(sample.latest - labels.time), RECENT_HALF_LIFE_DAYS)
    brought = np.append(np.bincount(place, weight), 0.0)
    wanted = user * size + item
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = np.where(keys[found] == wanted, found, len(keys))
    own = (found < len(keys)) & ~in_pairs(sample.histories, size, user, item)
    return ItemSignals(
        own.astype(np.float32), brought[found].astype(np.float32), np.zeros(0, dtype=np.float32)
    )


def is_label(sample: TrainingSample, user: IntArray, item: IntArray) -> BoolArray:
    """Mark the pairs that are labels."""
    size = len(sample.signals.users)
    keys = sample.label_keys
    wanted = user * size + item
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[found] == wanted)


def discovery_pairs(sample: TrainingSample, users: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Draw pairs outside the histories: all labels, and a weighted sample of the other pairs.

    Half of the sample is drawn by recent popularity, half uniformly; the weights correct for the drawing.
    """
    size = len(sample.signals.users)
    share = sample.signals.recent.astype(np.float64) + LEAST_SHARE
    chance = 0.5 * share / share.sum() + 0.5 / size
    cumulated = np.cumsum(chance)
    count = max(1, min(NEGATIVES_PER_USER, MAX_NEGATIVES // len(users)))
    draws = np.random.default_rng(SEED).random((len(users), count)) * cumulated[-1]
    drawn = np.minimum(np.searchsorted(cumulated, draws, side="right"), size - 1)
    sampled, times = np.unique(users[:, None] * size + drawn, return_counts=True)
    taken = sample.label_keys
    missed = taken[~np.isin(taken, sampled)]
    keys = np.append(sampled, missed)
    weight = np.append(times, np.ones(len(missed))) / (count * chance[keys % size])
    user, item = keys // size, keys % size
    unseen = ~in_pairs(sample.histories, size, user, item)
    return user[unseen], item[unseen], weight[unseen]
