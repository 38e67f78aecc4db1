"""Sum up what each user did with each item, and which items are doing well."""

from dataclasses import dataclass

import numpy as np

from personalize_local.engine.catalogue import SECONDS_PER_DAY
from personalize_local.engine.interactions import BoolArray, Float32Array, IntArray, Interactions

# Purchases fade at three speeds; the model learns how much each counts. Alone, 60 to 150 days rank own items
# best on The Complete Journey.
HALF_LIVES_DAYS = (15.0, 60.0, 365.0)
# Popularity of the last weeks, for seasons and promotions.
RECENT_HALF_LIFE_DAYS = 14.0
# Keeps logarithms finite, and says below which size a faded count no longer matters.
FLOOR = 1e-3
# Prior of an item's repeat rate: one repeat buyer in five, so that rarely bought items stay near it.
PRIOR_REPEATS, PRIOR_BUYERS = 1.0, 5.0


@dataclass(frozen=True)
class Histories:
    """Hold one entry per (user, item) pair, sorted by user, then item.

    `features` has a row per pair: logs of the faded counts, of the count and of the days since the last time.
    `rank` numbers a user's items from the most recent one. `user_features` has a row per user id: logs of the
    number of rows and of the days between the user's last interaction and the newest of all.
    """

    indptr: IntArray
    item: IntArray
    features: Float32Array
    rank: IntArray
    user_features: Float32Array

    @property
    def user(self) -> IntArray:
        """Expand the user code of every pair."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    @property
    def count(self) -> Float32Array:
        """Tell how often each pair occurred."""
        return np.exp(self.features[:, len(HALF_LIVES_DAYS)])


def fade(age_days: Float32Array, half_life_days: float) -> Float32Array:
    """Weigh an interaction by its age."""
    return np.asarray(np.exp2(-age_days / half_life_days), dtype=np.float32)


def summarise(interactions: Interactions, latest: int) -> Histories:
    """Sum up the interactions per (user, item).

    :param latest: time of the newest interaction in the dataset, epoch seconds; ages count back from the
        user's own last interaction, so that a user who paused keeps his habits.
    """
    last_of_user = np.full(interactions.num_users, latest)
    np.maximum.at(last := np.zeros_like(last_of_user), interactions.user, interactions.time)
    rows = interactions.rows_per_user()
    last_of_user = np.where(rows > 0, last, last_of_user)
    keys = interactions.user * interactions.num_items + interactions.item
    # Rows are sorted by user, time: a stable sort leaves each pair's newest row last.
    order = np.argsort(keys, kind="stable")
    keys, starts = np.unique(keys[order], return_index=True)
    user, item = keys // interactions.num_items, keys % interactions.num_items
    age_days = days(last_of_user[interactions.user] - interactions.time)[order]
    columns = [np.log(FLOOR + np.add.reduceat(fade(age_days, h), starts)) for h in HALF_LIVES_DAYS]
    ends = np.append(starts[1:], len(order)) - 1
    columns += [np.log((ends - starts + 1).astype(np.float32)), np.log1p(age_days[ends])]
    pairs_of_user = np.bincount(user, minlength=interactions.num_users)
    gaps = np.log1p(np.maximum(0, days(latest - last_of_user)))
    return Histories(
        indptr=np.append(0, np.cumsum(pairs_of_user)),
        item=item,
        features=np.column_stack(columns).astype(np.float32),
        rank=recency_rank(user, age_days[ends], item, pairs_of_user),
        user_features=np.column_stack([np.log1p(rows), gaps]).astype(np.float32),
    )


def recency_rank(user: IntArray, age_days: Float32Array, item: IntArray, pairs_of_user: IntArray) -> IntArray:
    """Number each user's items from 0, the most recent first, ties by item."""
    order = np.lexsort((item, age_days, user))
    starts = np.cumsum(pairs_of_user) - pairs_of_user
    rank = np.empty(len(user), dtype=np.int64)
    rank[order] = np.arange(len(user)) - starts[user[order]]
    return rank


def days(seconds: IntArray) -> Float32Array:
    """Convert seconds to days."""
    return (seconds / SECONDS_PER_DAY).astype(np.float32)


@dataclass(frozen=True)
class ItemSignals:
    """Hold per item: distinct users, faded recent interactions, and the share of users who came back for it."""

    users: Float32Array
    recent: Float32Array
    repeat_rate: Float32Array

    def features(self, item: IntArray, less: "ItemSignals | None" = None) -> Float32Array:
        """Take the logs of the signals of some items, shape (len(item), 3).

        :param less: one entry per item in `item` to take off first: what the user at hand brought to it.
        """
        users, recent = self.users[item], self.recent[item]
        if less is not None:
            users, recent = users - less.users, np.maximum(0, recent - less.recent)
        columns = [np.log1p(users), np.log1p(recent), np.log(self.repeat_rate[item])]
        return np.column_stack(columns).astype(np.float32)


def measure_items(interactions: Interactions, histories: Histories) -> ItemSignals:
    """Measure all items over all users."""
    size = interactions.num_items
    users = np.bincount(histories.item, minlength=size)
    again = np.bincount(histories.item, weights=histories.count > 1, minlength=size)
    age_days = days(interactions.latest - interactions.time)
    recent = np.bincount(interactions.item, fade(age_days, RECENT_HALF_LIFE_DAYS), minlength=size)
    rate = (again + PRIOR_REPEATS) / (users + PRIOR_BUYERS)
    return ItemSignals(users.astype(np.float32), recent.astype(np.float32), rate.astype(np.float32))


def in_pairs(histories: Histories, num_items: int, user: IntArray, item: IntArray) -> BoolArray:
    """Tell for every (user, item) whether it is a pair of the histories."""
    keys = histories.user * num_items + histories.item
    wanted = user * num_items + item
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[place] == wanted)
