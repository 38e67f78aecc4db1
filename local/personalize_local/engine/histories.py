"""Summarise interactions per (user, item) pair and per item."""

from dataclasses import dataclass

import numpy as np

from personalize_local.engine.catalog import SECONDS_PER_DAY
from personalize_local.engine.interactions import (
    BoolArray,
    Float32Array,
    IntArray,
    Interactions,
    first_of_each,
    sort_stably,
)

# Counts decay with three half-lives; the model learns the weight of each. A single half-life of 60 to 150 days is best
# on The Complete Journey.
HALF_LIVES_DAYS = (15.0, 60.0, 365.0)
# Popularity of the last weeks, for seasons and promotions.
RECENT_HALF_LIFE_DAYS = 14.0
# Keeps logarithms of decayed counts finite.
FLOOR = 1e-3
# Prior of an item's repeat rate: one repeat buyer in five, so that rarely bought items stay near it.
PRIOR_REPEATS, PRIOR_BUYERS = 1.0, 5.0


@dataclass(frozen=True)
class Histories:
    """One entry per (user, item) pair, sorted by user, then item.

    `features` has a row per pair: logs of the decayed counts, of the count, of the days since the last interaction and
    of the user's number of rows. Ages are relative to the user's last interaction, so that a user's features stay the
    same without new interactions. `rank` numbers a user's items from the most recent one.
    """

    indptr: IntArray
    item: IntArray
    features: Float32Array
    rank: IntArray

    @property
    def user(self) -> IntArray:
        """Expand the user code of every pair."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    @property
    def count(self) -> Float32Array:
        """Return the number of rows of each pair."""
        return np.exp(self.features[:, len(HALF_LIVES_DAYS)])

    def size_of_users(self) -> Float32Array:
        """Take the log of each user's number of rows, shape (users,); 0 without a history."""
        has = np.diff(self.indptr) > 0
        size = np.zeros(len(has), dtype=np.float32)
        size[has] = self.features[self.indptr[:-1][has], -1]
        return size


def fade(age_days: Float32Array, half_life_days: float) -> Float32Array:
    """Return the weight of an interaction by its age."""
    return np.asarray(np.exp2(age_days * np.float32(-1 / half_life_days)))


def summarise(interactions: Interactions) -> Histories:
    """Summarise interactions per (user, item)."""
    rows = interactions.rows_per_user()
    # Rows are sorted by user, time: a user's last row is the newest, and a stable sort leaves each pair's
    # newest row last.
    newest = interactions.time[(np.cumsum(rows) - 1)[interactions.user]]
    keys, order = sort_stably(interactions.user * interactions.num_items + interactions.item)
    starts = np.flatnonzero(first_of_each(keys))
    ends = np.append(starts, len(order))[1:] - 1
    user, item = np.divmod(keys[starts], interactions.num_items)
    age_days = days(newest - interactions.time)[order]
    columns = [np.log(FLOOR + np.add.reduceat(fade(age_days, h), starts)) for h in HALF_LIVES_DAYS]
    columns += [np.log(ends - starts + 1), np.log1p(age_days[ends]), np.log1p(rows)[user]]
    features = np.empty((len(user), len(columns)), dtype=np.float32)
    for place, column in enumerate(columns):
        features[:, place] = column
    indptr = np.append(0, np.cumsum(np.bincount(user, minlength=interactions.num_users)))
    return Histories(indptr, item, features, recency_rank(user, order[ends], indptr, len(order)))


def recency_rank(user: IntArray, last_row: IntArray, indptr: IntArray, num_rows: int) -> IntArray:
    """Number each user's items from 0, the one of the last row first.

    :param last_row: position of the newest row of each pair; rows are sorted by user, time, item.
    """
    # Rows are grouped by user, so the descending last rows number the user's items.
    is_last = np.zeros(num_rows, dtype=np.int64)
    is_last[last_row] = 1
    return np.asarray(indptr[user + 1] - np.cumsum(is_last)[last_row])


def days(seconds: IntArray) -> Float32Array:
    """Convert seconds to days."""
    return (seconds / SECONDS_PER_DAY).astype(np.float32)


@dataclass(frozen=True)
class ItemSignals:
    """Per item: distinct users, decayed recent interactions, and the share of repeat users."""

    users: Float32Array
    recent: Float32Array
    repeat_rate: Float32Array

    def features(self, item: IntArray, less: "ItemSignals | None" = None) -> Float32Array:
        """Return the logs of the signals of some items, shape (len(item), 3).

        :param less: the user's own share of each item's signals, to subtract first.
        """
        users, recent = self.users[item], self.recent[item]
        if less is not None:
            users, recent = users - less.users, np.maximum(0, recent - less.recent)
        columns = [np.log1p(users), np.log1p(recent), np.log(self.repeat_rate[item])]
        return np.column_stack(columns).astype(np.float32)


def measure_items(interactions: Interactions, histories: Histories, latest: int | None = None) -> ItemSignals:
    """Measure all items over all users.

    :param latest: time of the newest interaction in epoch seconds, if `interactions` may lack it.
    """
    latest = interactions.latest if latest is None else latest
    size = interactions.num_items
    users = np.bincount(histories.item, minlength=size)
    again = np.bincount(histories.item[histories.count > 1.5], minlength=size)
    age_days = days(latest - interactions.time)
    recent = np.bincount(interactions.item, fade(age_days, RECENT_HALF_LIFE_DAYS), minlength=size)
    rate = (again + PRIOR_REPEATS) / (users + PRIOR_BUYERS)
    return ItemSignals(users.astype(np.float32), recent.astype(np.float32), rate.astype(np.float32))


def in_pairs(histories: Histories, num_items: int, user: IntArray, item: IntArray) -> BoolArray:
    """Mark the (user, item) pairs that are in the histories."""
    keys = histories.user * num_items + histories.item
    wanted = user * num_items + item
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[place] == wanted)
