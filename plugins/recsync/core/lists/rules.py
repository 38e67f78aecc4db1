"""Post-rules: what of a person's list may be mailed, for many people at once.

Lists are rows of a matrix of catalogue positions, -1 where there is no item; each rule empties places.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsync.core.lists.catalogue import Catalogue
from recsync.core.program import Rules

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
            categories = np.where(lists >= 0, self.catalogue.categories[lists], -1)
            drop(CATEGORY, repeated(categories, self.max_per_category))
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
    if values.shape[1] <= times:
        return marked
    # Sorting a row shows whether it has any, much faster than finding out which.
    ordered = np.sort(values, axis=1)
    suspects = np.flatnonzero(
        ((ordered[:, times:] == ordered[:, :-times]) & (ordered[:, times:] >= 0)).any(axis=1)
    )
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
