"""Choose and order the items of lists: boosted scores, shares of promoted and new items, diversity.

Every step works on all lists at once; where one needs a loop, it is over the places of a list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsync.program import Recommendations
from recsync.recommend.lists.left_out import LeftOut
from recsync.recommend.lists.rules import (
    PROMOTED,
    PUT_BY,
    Candidates,
    ListRules,
    Lists,
    PutBy,
    Scores,
    Tier,
    compact_all,
    fill,
)

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Share:
    """Items of which a list has a share.

    :param rule: member of ``Rules``.
    :param items: by position.
    :param count: how many a list has.
    :param capped: whether a list has no more of them.
    :param pool: positions for lists with too few, best first.
    """

    rule: str
    items: NDArray[np.bool_]
    count: int
    capped: bool
    pool: NDArray[np.int32]


class SelectedLists(NamedTuple):
    """Lists that were chosen.

    :param scores: None when the candidates have none.
    :param is_own: by row, whether the list has own candidates.
    :param dropped: number of dropped items by rule.
    """

    lists: Lists
    put_by: PutBy
    scores: Scores | None
    is_own: NDArray[np.bool_]
    dropped: Counter[str]


@dataclass(frozen=True)
class Selection:
    """The rules of one program that choose and order items.

    :param pools: by member of ``Rules``, the items for its share, best first.
    """

    policy: Recommendations
    rules: ListRules
    pools: Mapping[str, NDArray[np.int32]]

    @property
    def is_needed(self) -> bool:
        """Whether the program has such rules."""
        rules = self.policy.rules
        return bool(rules.boost or rules.diversity or rules.shares) and len(self.rules.catalog) > 0

    @cached_property
    def shares(self) -> list[Share]:
        """The shares, in the order in which they are met."""
        flags = self.rules.catalog.flags
        return [
            Share(rule, flags[rule], count, rule == PROMOTED, self.pools[rule])
            for rule, count in self.policy.shared_items.items()
        ]

    @cached_property
    def uncapped(self) -> NDArray[np.bool_] | None:
        """Items of no capped share, of which a list may have any number; None: all."""
        capped = [share.items for share in self.shares if share.capped]
        return ~np.logical_or.reduce(capped) if capped else None

    def choose(self, rows: Candidates, left_out: LeftOut) -> SelectedLists:
        """Choose each list from the person's own candidates, and from the pools what its shares are short of.

        :param rows: candidates that may be mailed, in the order of the answer; -1 where there is none.
        :param left_out: records what the rules drop.
        """
        block = _Block(self, rows, left_out)
        for share in self.shares:
            items = share.items if share.capped or self.uncapped is None else share.items & self.uncapped
            before = block.sizes
            block.take(items, block.missing(share), capped=share.capped)
            block.fill_from_pool(share)
            block.mark_from(before, PUT_BY.index(share.rule))
        block.take(self.uncapped, self.policy.length - block.sizes)
        if self.shares:
            block.order()
        has_own = np.any(block.is_own, axis=1)
        return SelectedLists(block.lists, block.put_by, block.chosen_scores(), has_own, block.dropped)

    def finish(
        self, lists: Lists, put_by: PutBy, scores: Scores | None
    ) -> tuple[Lists, PutBy, Scores | None, Counter[str]]:
        """Put promoted items where the program wants them, and count lists that miss a share by its rule."""
        missed: Counter[str] = Counter()
        if not self.is_needed:
            return lists, put_by, scores, missed
        sizes = np.count_nonzero(lists >= 0, axis=1)
        for share in self.shares:
            held = np.count_nonzero(share.items[lists] & (lists >= 0), axis=1)
            wrong = held != share.count if share.capped else held < share.count
            if count := int(np.count_nonzero(wrong & (sizes > 0))):
                missed[share.rule] = count
        promoted = self.policy.rules.promoted
        if promoted and promoted.positions:
            order = places_of(self.shares[0].items[lists] & (lists >= 0), promoted.positions)
            matrices = (lists, put_by) if scores is None else (lists, put_by, scores)
            moved = [np.take_along_axis(each, order, axis=1) for each in matrices]
            lists, put_by, *others = compact_all(moved[0], self.policy.length, *moved[1:])
            scores = others[0] if others else None
        return lists, put_by, scores, missed


class _Block:
    """The lists of some people while they are chosen.

    ``places`` holds for each item its place among the person's own candidates; items of pools have places behind them.
    """

    def __init__(self, selection: Selection, rows: Candidates, left_out: LeftOut) -> None:
        self._selection, self._rules, self._length = selection, selection.rules, selection.policy.length
        self._users, self._past, self._left_out = rows.users, rows.past, left_out
        self._own, self._scores = _ordered(rows, selection.policy, selection.rules)
        people, self._width = self._own.shape
        self._counts = np.count_nonzero(self._own >= 0, axis=1)
        self._done = np.zeros(self._own.shape, np.bool_)
        self.lists: Lists = np.full((people, self._length), -1, np.int32)
        self.places: Places = np.full((people, self._length), -1, np.int64)
        self.put_by: PutBy = np.zeros((people, self._length), np.int8)
        self.dropped: Counter[str] = Counter()

    @property
    def sizes(self) -> NDArray[np.int64]:
        sizes: NDArray[np.int64] = np.count_nonzero(self.lists >= 0, axis=1)
        return sizes

    @property
    def is_own(self) -> NDArray[np.bool_]:
        """Mark the person's own candidates."""
        own: NDArray[np.bool_] = (self.places >= 0) & (self.places < self._width)
        return own

    def missing(self, share: Share) -> NDArray[np.int64]:
        """Return how many items of a share each list needs, as far as it has room."""
        held = np.count_nonzero(share.items[self.lists] & (self.lists >= 0), axis=1)
        missing: NDArray[np.int64] = np.clip(share.count - held, 0, self._length - self.sizes)
        return missing

    def take(
        self, items: NDArray[np.bool_] | None, wanted: NDArray[np.int64], *, capped: bool = False
    ) -> None:
        """Add own candidates.

        :param items: by position, those that may be added; None: all.
        :param wanted: by row, how many.
        :param capped: whether further ones will not be added, which counts as dropped.
        """
        if not self._width:
            return
        offered = np.where(self._done, -1, self._own)
        if items is not None:
            offered = np.where(items[offered], offered, -1)
        if not capped:
            offered[wanted == 0] = -1
        joined = Candidates(np.concatenate([self.lists, offered], axis=1), self._users)
        allowed, dropped = self._rules.apply(joined, self._left_out, ordered=True)
        self.dropped.update(dropped)
        good = allowed[:, self._length :] >= 0
        columns = self._best(good, wanted)
        picked = np.zeros((len(good), self._width + 1), np.bool_)
        np.put_along_axis(picked, np.where(columns < 0, self._width, columns), values=True, axis=1)
        picked = picked[:, : self._width]
        # What a limit drops behind these items, it drops behind more items, too.
        self._done |= picked | ((offered >= 0) & ~good)
        if capped:
            over = good & ~picked
            self.dropped[PROMOTED] += int(np.count_nonzero(over))
            self._left_out.add(self._rules.numbers[PROMOTED], over, self._own)
        added = np.where(columns < 0, -1, np.take_along_axis(self._own, np.maximum(columns, 0), axis=1))
        self.lists, self.places = compact_all(
            np.concatenate([self.lists, added], axis=1),
            self._length,
            np.concatenate([self.places, columns], axis=1),
        )

    def _best(self, good: NDArray[np.bool_], wanted: NDArray[np.int64]) -> Places:
        """Return the columns of the best candidates, best first, -1 behind them."""
        most, groups = int(wanted.max(initial=0)), self._rules.catalog.groups
        diversity = self._selection.policy.rules.diversity
        if diversity is None or groups is None:
            first = good & (np.cumsum(good, axis=1) <= wanted[:, None])
            columns: Places
            (columns,) = compact_all(np.where(first, np.arange(self._width), -1), most)
            return columns
        return diverse(
            np.where(self._own >= 0, groups[self._own], -1),
            1 - np.arange(self._width) / np.maximum(self._counts, 1)[:, None],
            good,
            wanted,
            np.where(self.is_own, groups[self.lists], -1),
            np.count_nonzero(self.is_own, axis=1),
            diversity.strength,
        )

    def fill_from_pool(self, share: Share) -> None:
        """Add items of the pool of a share to the lists that need some.

        A person without own candidates gets them only beside those of a fallback.
        """
        wanted = self.missing(share)
        if not self._selection.policy.fallback:
            wanted = np.where(self._counts > 0, wanted, 0)
        pool = Tier(share.pool[None], np.zeros(len(self.lists), np.int64))
        self.lists, _ = fill(
            self.lists,
            self._users,
            [pool],
            self._rules,
            self._past,
            LeftOut.of(len(self.lists)),
            targets=self.sizes + wanted,
            among=None if share.capped else self._selection.uncapped,
        )
        behind = self._width + np.arange(self._length)
        self.places = np.where((self.lists >= 0) & (self.places < 0), behind, self.places)

    def mark_from(self, before: NDArray[np.int64], number: int) -> None:
        """Record what put the last items of each list there: until they are ordered, lists only grow at their end.

        :param before: by row, the number of items that the list had.
        :param number: in ``PUT_BY``.
        """
        places = np.arange(self._length)
        self.put_by[(places >= before[:, None]) & (places < self.sizes[:, None])] = number

    def order(self) -> None:
        """Order the own candidates as if they had been chosen at once; those of pools follow."""
        self._reorder(np.where(self.places < 0, np.iinfo(np.int64).max, self.places))
        groups, diversity = self._rules.catalog.groups, self._selection.policy.rules.diversity
        if diversity is None or groups is None:
            return
        own = self.is_own
        columns = diverse(
            np.where(own, groups[self.lists], -1),
            1 - self.places / np.maximum(self._counts, 1)[:, None],
            own,
            np.count_nonzero(own, axis=1),
            np.empty((len(own), 0), np.int32),
            np.zeros(len(own), np.int64),
            diversity.strength,
        )
        ranks = np.tile(self._length + np.arange(self._length + 1), (len(own), 1))
        behind = np.where(columns < 0, self._length, columns)
        np.put_along_axis(ranks, behind, np.arange(columns.shape[1])[None], axis=1)
        self._reorder(ranks[:, : self._length])

    def _reorder(self, keys: NDArray[np.int64]) -> None:
        order = np.argsort(keys, axis=1, kind="stable")
        self.lists = np.take_along_axis(self.lists, order, axis=1)
        self.places = np.take_along_axis(self.places, order, axis=1)
        self.put_by = np.take_along_axis(self.put_by, order, axis=1)

    def chosen_scores(self) -> Scores | None:
        """Return the scores of the chosen items, NaN for those without one."""
        if self._scores is None:
            return None
        if not self._width:
            return np.full(self.lists.shape, np.nan, np.float32)
        own = self.is_own
        found = np.take_along_axis(self._scores, np.where(own, self.places, 0), axis=1)
        return np.where(own, found, np.float32(np.nan))


def _ordered(rows: Candidates, policy: Recommendations, rules: ListRules) -> tuple[Lists, Scores | None]:
    """Compact candidates, ordered by boosted scores."""
    width = rows.lists.shape[1]
    others = [] if rows.scores is None else [rows.scores]
    lists, *rest = compact_all(rows.lists, width, *others)
    boost = policy.rules.boost
    if boost is None or not rest:
        return lists, rest[0] if rest else None
    factors = np.where(rules.catalog.flags["boost"][lists], boost.factor, 1.0)
    # An item without a score comes behind those with one; gaps come last.
    keys = np.where(lists < 0, np.inf, -np.nan_to_num(rest[0].astype(np.float64), nan=0.0) * factors)
    order = np.argsort(keys, axis=1, kind="stable")
    return np.take_along_axis(lists, order, axis=1), np.take_along_axis(rest[0], order, axis=1)


def diverse(
    groups: NDArray[np.int32],
    values: NDArray[np.float64],
    good: NDArray[np.bool_],
    wanted: NDArray[np.int64],
    chosen: NDArray[np.int32],
    before: NDArray[np.int64],
    strength: float,
) -> Places:
    """Choose columns by maximal marginal relevance.

    Each time, the best one by ``(1 - strength) * value - strength * likeness`` is chosen, the first of equal ones. An
    item is as like the chosen ones as the share of them with its group; without a group it is like none.

    :param groups: by row and column, the group, -1 without one.
    :param values: by row and column, how relevant it is, 0 to 1.
    :param good: those that may be chosen.
    :param wanted: by row, how many.
    :param chosen: by row, the groups of the items chosen before, -1 for none.
    :param before: by row, the number of items chosen before.
    :returns: the columns in the order in which they were chosen, -1 behind them.
    """
    people, most = np.arange(len(groups)), int(wanted.max(initial=0))
    columns = np.full((len(groups), most), -1, np.int64)
    if not groups.shape[1]:
        return columns
    like = np.zeros(groups.shape, np.float64)
    for former in chosen.T:
        like += (groups == former[:, None]) & (groups >= 0)
    left = good.copy()
    for number in range(most):
        total = np.maximum(before + number, 1)[:, None]
        worth = (1 - strength) * values - strength * (like / total)
        best = np.argmax(np.where(left, worth, -np.inf), axis=1)
        valid = left[people, best] & (number < wanted)
        columns[valid, number] = best[valid]
        left[people[valid], best[valid]] = False
        group = np.where(valid, groups[people, best], -1)[:, None]
        like += (groups == group) & (group >= 0)
    return columns


def places_of(marked: NDArray[np.bool_], positions: Sequence[int]) -> Places:
    """Return the order of columns that puts the first marked ones at positions, the others around them.

    :param positions: from 1, each at most the number of columns; with fewer marked columns, the first ones count.
    """
    columns = marked.shape[1]
    order = np.tile(np.arange(columns), (len(marked), 1))
    held = np.minimum(np.count_nonzero(marked, axis=1), len(positions))
    for count in range(1, len(positions) + 1):
        rows = np.flatnonzero(held == count)
        first = marked[rows] & (np.cumsum(marked[rows], axis=1) <= count)
        ordered = np.argsort(~first, axis=1, kind="stable")
        slots = np.array(positions[:count]) - 1
        moved = np.empty_like(ordered)
        moved[:, slots] = ordered[:, :count]
        moved[:, np.setdiff1d(np.arange(columns), slots)] = ordered[:, count:]
        order[rows] = moved
    return order
