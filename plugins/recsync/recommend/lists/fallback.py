"""Fill lists that are too short from what is popular, tier by tier, under the same rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsync.recommend.lists.rules import Bought, ListRules, Lists, pack

# Candidates tried at a time: most lists are full after the first page.
PAGE_ITEMS = 50


class Tier(Protocol):
    """One source of items for people whose lists are too short."""

    @property
    def name(self) -> str:
        """Name of the tier in the program file."""

    def candidates(self, people: NDArray[np.int64], page: int) -> Lists:
        """Give candidates for some people, best first; no places when there is no such page."""


@dataclass(frozen=True)
class Popular:
    """The same items for everybody.

    :param items: catalogue positions, most popular first.
    """

    items: NDArray[np.int32]
    name: str = "popular"

    def candidates(self, people: NDArray[np.int64], page: int) -> Lists:
        """Give the next most popular items."""
        chosen = self.items[page * PAGE_ITEMS : (page + 1) * PAGE_ITEMS]
        return np.broadcast_to(chosen, (len(people), len(chosen)))


@dataclass(frozen=True)
class PopularInSegment:
    """The same items for everybody in a segment.

    :param items: one row per segment, most popular first, -1 at the end of shorter rows.
    :param segments: row of ``items`` by person, -1 for somebody without segment.
    """

    items: Lists
    segments: NDArray[np.int64]
    name: str = "popular_in_segment"

    def candidates(self, people: NDArray[np.int64], page: int) -> Lists:
        """Give the next most popular items of each person's segment."""
        chosen = self.items[:, page * PAGE_ITEMS : (page + 1) * PAGE_ITEMS]
        nothing = np.full((1, chosen.shape[1]), -1, np.int32)
        return np.concatenate([chosen, nothing])[self.segments[people]]


@dataclass(frozen=True)
class Personal:
    """Items chosen for each person.

    :param items: one row per person, best first, -1 at the end of shorter rows.
    """

    items: Lists
    name: str = "similar"

    def candidates(self, people: NDArray[np.int64], page: int) -> Lists:
        """Give each person's next items."""
        return self.items[people, page * PAGE_ITEMS : (page + 1) * PAGE_ITEMS]


def fill(
    lists: Lists,
    people: NDArray[np.int64],
    users: NDArray[np.int64],
    tiers: Sequence[Tier],
    rules: ListRules,
    bought: Bought | None,
) -> tuple[Lists, NDArray[np.int8]]:
    """Fill packed lists up to their width.

    :param people: for each row, the person as the tiers number them.
    :param users: for each row, the user as ``bought`` numbers them.
    :returns: the lists, and for each the number (from 1) of the last tier that gave it an item, 0 for none.
    """
    lists, last = lists.copy(), np.zeros(len(lists), np.int8)
    length = lists.shape[1]
    counts = np.count_nonzero(lists >= 0, axis=1)
    for number, tier in enumerate(tiers, start=1):
        page = 0
        while len(short := np.flatnonzero(counts < length)):
            offered = tier.candidates(people[short], page)
            if not offered.shape[1]:
                break
            allowed, _ = rules.apply(np.concatenate([lists[short], offered], axis=1), users[short], bought)
            lists[short], filled = pack(allowed, length)
            last[short[filled > counts[short]]] = number
            counts[short] = filled
            page += 1
    return lists, last
