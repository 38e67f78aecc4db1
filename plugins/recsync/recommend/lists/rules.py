"""Post-rules: what of a person's list may be mailed, for many people at once.

Lists are rows of a matrix of catalogue positions, -1 where there is no item; each rule empties places.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsync.program import Rules
from recsync.recommend.lists.catalogue import Catalogue, Categories

Lists = NDArray[np.int32]
"""[people, places]: catalogue positions, -1 where there is none."""

UNKNOWN, OUT_OF_STOCK, BOUGHT, DUPLICATE, CATEGORY = (
    "not in the catalogue", "out of stock", "bought", "duplicate", "category",
)  # fmt: skip


@dataclass(frozen=True)
class Bought:
    """Who bought what: one sorted key ``user * items + item`` per pair.

    :param items: how many items the catalogue holds.
    """

    keys: NDArray[np.int64]
    items: int

    def holds(self, users: NDArray[np.int64], lists: Lists) -> NDArray[np.bool_]:
        """Say for each place whether its item was bought by the user of its row."""
        if not len(self.keys):
            return np.zeros(lists.shape, np.bool_)
        keys = users[:, None] * self.items + lists
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found: NDArray[np.bool_] = (self.keys[places] == keys) & (lists >= 0)
        return found


@dataclass(frozen=True)
class ListRules:
    """The rules of one program over one catalogue."""

    catalogue: Catalogue
    max_per_category: int | None = None

    @classmethod
    def of(cls, rules: Rules, catalogue: Catalogue) -> ListRules:
        """Take the rules of a program file."""
        return cls(catalogue, rules.max_per_category)

    def apply(
        self, lists: Lists, users: NDArray[np.int64], bought: Bought | None
    ) -> tuple[Lists, Counter[str]]:
        """Empty the places that may not be mailed; each counts under the first rule that it breaks.

        :param users: for each row, the user as ``bought`` numbers them.
        """
        dropped: Counter[str] = Counter()
        lists = lists.copy()

        def drop(rule: str, places: NDArray[np.bool_]) -> None:
            if count := int(np.count_nonzero(places)):
                dropped[rule] += count
                lists[places] = -1

        if self.catalogue.in_stock is not None:
            drop(OUT_OF_STOCK, (lists >= 0) & ~self.catalogue.in_stock[lists])
        if bought is not None:
            drop(BOUGHT, bought.holds(users, lists))
        drop(DUPLICATE, repeated(lists, 1))
        if self.max_per_category is not None and self.catalogue.categories is not None:
            drop(CATEGORY, crowded(lists, self.catalogue.categories, self.max_per_category))
        return lists, dropped


def pack(lists: Lists, length: int) -> tuple[Lists, NDArray[np.int64]]:
    """Move the items of each row to its front, in their order, and cut the rows to ``length``.

    :returns: the lists and how many items each holds.
    """
    empty = lists < 0
    gaps = np.flatnonzero(empty.any(axis=1))
    if len(gaps):
        lists = lists.copy()
        order = np.argsort(empty[gaps], axis=1, kind="stable")
        lists[gaps] = np.take_along_axis(lists[gaps], order, axis=1)
    lists = lists[:, :length]
    return lists, np.count_nonzero(lists >= 0, axis=1)


def repeated(values: NDArray[np.int32], times: int) -> NDArray[np.bool_]:
    """Mark the values that their row holds ``times`` times before; negative ones are never marked."""
    marked = np.zeros(values.shape, np.bool_)
    suspects = _with_repeats(values, times)
    if len(suspects):
        rows = values[suspects]
        order = np.argsort(rows, axis=1, kind="stable")
        ordered = np.take_along_axis(rows, order, axis=1)
        late = np.zeros(rows.shape, np.bool_)
        late[:, times:] = (ordered[:, times:] == ordered[:, :-times]) & (ordered[:, times:] >= 0)
        found = np.zeros(rows.shape, np.bool_)
        np.put_along_axis(found, order, late, axis=1)
        marked[suspects] = found
    return marked


def _with_repeats(values: NDArray[np.int32], times: int) -> NDArray[np.int64]:
    """Find the rows that hold a value more than ``times`` times, by sorting; negative values do not count."""
    if values.shape[1] <= times:
        return np.empty(0, np.int64)
    ordered = np.sort(values, axis=1)
    return np.flatnonzero(
        ((ordered[:, times:] == ordered[:, :-times]) & (ordered[:, times:] >= 0)).any(axis=1)
    )


def crowded(lists: Lists, categories: Categories, most: int) -> NDArray[np.bool_]:
    """Mark the items with a category of which their row keeps ``most`` items before them."""
    marked = np.zeros(lists.shape, np.bool_)
    lengths = np.where(lists >= 0, np.diff(categories.starts)[lists], 0)
    held = np.arange(int(lengths.max(initial=0))) < lengths[:, :, None]
    codes = np.full(held.shape, -1, np.int32)
    codes[held] = categories.codes[ragged(categories.starts[lists].ravel(), lengths.ravel())]
    flat = codes.reshape(len(lists), -1)
    rows = _with_repeats(flat, most)
    if not len(rows):
        return marked
    # Number the categories of each row from 0, so that their counts fit into a row as wide as the row's codes.
    order = np.argsort(flat[rows], axis=1)
    ordered = np.take_along_axis(flat[rows], order, axis=1)
    numbers = np.zeros(ordered.shape, np.int64)
    numbers[:, 1:] = np.cumsum(ordered[:, 1:] != ordered[:, :-1], axis=1)
    local = np.empty_like(numbers)
    np.put_along_axis(local, order, numbers, axis=1)
    local = local.reshape(len(rows), *held.shape[1:])
    counts = np.zeros(ordered.shape, np.int32)
    for place in range(lists.shape[1]):
        inside, names = held[rows, place], local[:, place]
        full = (inside & (np.take_along_axis(counts, names, axis=1) >= most)).any(axis=1)
        marked[rows, place] = full
        row, which = np.nonzero(inside & ~full[:, None])
        counts[row, names[row, which]] += 1
    return marked


def ragged(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the places of several runs, one after another."""
    before = np.cumsum(lengths) - lengths
    places: NDArray[np.int64] = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
    return places
