"""Post-rules and the fallback: which items of a list may be mailed, and what fills short lists.

Lists are rows of a matrix of catalog positions, -1 where there is no item; each rule empties places.
One DuckDB statement for the same lists and counts took 5 times as long (50,000 users, 50 items, one thread).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from recsync.program import Rules
from recsync.program.recommendations import FallbackTier, Limit
from recsync.recommend.lists.catalog import ItemCatalog, ItemValues
from recsync.recommend.lists.left_out import LeftOut

Lists = NDArray[np.int32]
"""[people, places]: catalog positions, -1 where there is none."""
Scores = NDArray[np.float32]
"""[people, places]: scores of the items of ``Lists``, NaN where there is none."""
PutBy = NDArray[np.int8]
"""[people, places]: what put the items of ``Lists`` there, as numbers in ``PUT_BY``; 0 where there is none."""

PERSONAL = "personal"
PUT_BY = (PERSONAL, "promoted", "new_items_share", *get_args(FallbackTier))
"""What puts an item into a list: the person's own answer, a member of ``Rules`` with a share, or a fallback tier."""

UNKNOWN, OUT_OF_STOCK, BOUGHT, LISTED, MAILED, LOW_SCORE, DUPLICATE, PROMOTED = (
    "not in the catalogue", "out of stock", "bought", "not_in", "mailed", "score below min_score", "duplicate",
    "promoted",
)  # fmt: skip
# Candidates tried at a time: most lists are full after the first page.
PAGE_ITEMS = 50


@dataclass(frozen=True)
class UserItems:
    """Pairs of a user and an item, such as who bought what: one sorted key ``user * items + item`` each.

    :param items: how many items the catalog holds.
    """

    keys: NDArray[np.int64]
    items: int

    def holds(self, users: NDArray[np.int64], lists: Lists) -> NDArray[np.bool_]:
        """Mark the items that are paired with the user of their row."""
        if not len(self.keys):
            return np.zeros(lists.shape, np.bool_)
        keys = users[:, None] * self.items + lists
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found: NDArray[np.bool_] = (self.keys[places] == keys) & (lists >= 0)
        return found


Past = Mapping[str, UserItems]
"""By member of ``Rules``, the items of each user that the rule leaves out."""


@dataclass
class Candidates:
    """Candidates of some people.

    :param users: for each row, the user as ``past`` numbers them.
    :param scores: None when the items have none.
    """

    lists: Lists
    users: NDArray[np.int64]
    past: Past = field(default_factory=dict)
    scores: Scores | None = None


Marks = NDArray[np.bool_] | NDArray[np.int8]


@dataclass(frozen=True)
class PostRule:
    """A rule of ``recommendations.rules``.

    :param field: member of ``Rules`` that turns it on; None: it is always on.
    :param names: names under which the dropped items are counted.
    :param mark: given the field's value, the places to empty: the number (from 1) of the name in ``names``, or True;
        None when nothing is.
    :param ordered: whether which items it drops depends on the order of the items.
    """

    field: str | None
    names: Callable[[Rules], Sequence[str]]
    mark: Callable[[Any, Candidates, ItemCatalog], Marks | None]
    ordered: bool = False


def _out_of_stock(_column: str, rows: Candidates, catalog: ItemCatalog) -> Marks | None:
    return (rows.lists >= 0) & ~catalog.flags["in_stock"][rows.lists] if len(catalog) else None


def _past(field: str, name: str) -> PostRule:
    """Make a rule about the items of a user's past."""

    def mark(_value: Any, rows: Candidates, _catalog: ItemCatalog) -> Marks | None:
        return rows.past[field].holds(rows.users, rows.lists) if field in rows.past else None

    return PostRule(field, lambda _: (name,), mark)


def _low_score(least: float, rows: Candidates, _catalog: ItemCatalog) -> Marks | None:
    # NaN is never below.
    return None if rows.scores is None else (rows.scores < np.float32(least)) & (rows.lists >= 0)


def _duplicate(_on: None, rows: Candidates, _catalog: ItemCatalog) -> Marks:
    return repeated(rows.lists, 1)


def _above_limits(_limits: tuple[Limit, ...], rows: Candidates, catalog: ItemCatalog) -> Marks | None:
    return above_limits(rows.lists, catalog.values) if catalog.values else None


# An item counts under the first rule that it breaks.
POST_RULES = (
    PostRule("in_stock", lambda _: (OUT_OF_STOCK,), _out_of_stock),
    _past("not_bought_in_days", BOUGHT),
    _past("not_in", LISTED),
    _past("not_mailed_in_days", MAILED),
    PostRule("min_score", lambda _: (LOW_SCORE,), _low_score),
    PostRule(None, lambda _: (DUPLICATE,), _duplicate),
    PostRule("limits", lambda rules: [limit.name for limit in rules.limits], _above_limits, ordered=True),
)


@dataclass(frozen=True)
class ListRules:
    """The rules of one program over one catalog."""

    rules: Rules
    catalog: ItemCatalog

    @cached_property
    def _active(self) -> list[tuple[PostRule, Any]]:
        values = [(rule, getattr(self.rules, rule.field) if rule.field else True) for rule in POST_RULES]
        return [(rule, value) for rule, value in values if value not in (None, ())]

    @cached_property
    def bits(self) -> dict[str, np.uint64]:
        """Return a bit for each rule name, so that one number holds a set of names."""
        return {name: np.uint64(1 << number) for name, number in self.numbers.items()}

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Return a number for each rule name."""
        names = [UNKNOWN, *(name for rule, _ in self._active for name in rule.names(self.rules)), PROMOTED]
        return {name: number for number, name in enumerate(names)}

    def apply(
        self, rows: Candidates, left_out: LeftOut, *, ordered: bool | None = None
    ) -> tuple[Lists, Counter[str]]:
        """Empty the places that may not be mailed.

        :param left_out: records what the rules drop.
        :param ordered: apply only the rules that depend on the order of the items, or only the others; None: all.
        :returns: the lists, and the number of dropped items by the rule's name.
        """
        dropped: Counter[str] = Counter()
        rows = replace(rows, lists=rows.lists.copy())
        for rule, value in self._active:
            if ordered not in (None, rule.ordered):
                continue
            marks = rule.mark(value, rows, self.catalog)
            if marks is None or not marks.any():
                continue
            counts = np.bincount(marks[marks > 0].astype(np.int8))[1:].tolist()
            for number, (name, count) in enumerate(
                zip(rule.names(self.rules), counts, strict=False), start=1
            ):
                if count:
                    dropped[name] += count
                    left_out.add(self.numbers[name], marks == number, rows.lists)
            rows.lists[marks > 0] = -1
        return rows.lists, dropped


def compact(lists: Lists, length: int) -> tuple[Lists, NDArray[np.int64]]:
    """Move the items of each row to its front, in their order, and cut the rows to ``length``.

    :returns: the lists and the number of items of each.
    """
    (lists,) = compact_all(lists, length)
    return lists, np.count_nonzero(lists >= 0, axis=1)


def compact_all(lists: NDArray[Any], length: int, *others: Any) -> tuple[Any, ...]:
    """Compact lists, and other matrices of the same shape in the same way."""
    empty = lists < 0
    gaps = np.flatnonzero(empty.any(axis=1))
    made = (lists, *others)
    if len(gaps):
        order = np.argsort(empty[gaps], axis=1, kind="stable")
        made = tuple(each.copy() for each in made)
        for each in made:
            each[gaps] = np.take_along_axis(each[gaps], order, axis=1)
    return tuple(each[:, :length] for each in made)


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


def above_limits(lists: Lists, values: ItemValues) -> NDArray[np.int8]:
    """Mark the items with a value of which their row keeps the most allowed before them.

    :returns: the number (from 1) of the first such limit in ``rules.limits``, 0 for the items that stay.
    """
    marked = np.zeros(lists.shape, np.int8)
    lengths = np.where(lists >= 0, np.diff(values.starts)[lists], 0)
    widest = int(lengths.max(initial=0))
    if widest == 1 and (values.most == values.most[0]).all():
        # The usual case, one value each: an item stays unless its value came that often before, kept or not.
        codes = np.where(lengths, values.codes[np.where(lengths, values.starts[:-1][lists], 0)], -1)
        return np.where(repeated(codes, int(values.most[0])), values.columns[codes] + 1, 0).astype(np.int8)
    held = np.arange(widest) < lengths[:, :, None]
    codes = np.full(held.shape, -1, np.int32)
    codes[held] = values.codes[ragged(values.starts[lists].ravel(), lengths.ravel())]
    flat = codes.reshape(len(lists), -1)
    if not flat.size:
        return marked
    rows = _with_repeats(flat, int(values.most.min()))
    if not len(rows):
        return marked
    # Number the values of each row from 0, so that their counts fit into a row as wide as the row's codes.
    order = np.argsort(flat[rows], axis=1)
    ordered = np.take_along_axis(flat[rows], order, axis=1)
    numbers = np.zeros(ordered.shape, np.int64)
    numbers[:, 1:] = np.cumsum(ordered[:, 1:] != ordered[:, :-1], axis=1)
    local = np.empty_like(numbers)
    np.put_along_axis(local, order, numbers, axis=1)
    local = local.reshape(len(rows), *held.shape[1:])
    counts = np.zeros(ordered.shape, np.int32)
    most, columns = values.most[codes[rows]], values.columns[codes[rows]]
    for place in range(lists.shape[1]):
        inside, names = held[rows, place], local[:, place]
        full = inside & (np.take_along_axis(counts, names, axis=1) >= most[:, place])
        drop = full.any(axis=1)
        first = np.argmax(full, axis=1)
        marked[rows, place] = np.where(drop, columns[np.arange(len(rows)), place, first] + 1, 0)
        row, which = np.nonzero(inside & ~drop[:, None])
        counts[row, names[row, which]] += 1
    return marked


def ragged(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of several runs, one after another."""
    before = np.cumsum(lengths) - lengths
    places: NDArray[np.int64] = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
    return places


@dataclass(frozen=True)
class Tier:
    """A source of items for lists that are too short.

    :param items: one row per group of people, best first, -1 at the end of shorter rows.
    :param rows: by person, the row of ``items``; -1: none.
    :param seeds: by row of ``items``, the purchases that it was made from, -1 at the end; None: it was made from none.
    """

    items: Lists
    rows: NDArray[np.int64]
    seeds: Lists | None = None

    def seeds_of_rows(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32]]]:
        """Yield people and their seeds: parallel arrays, in the order of the people."""
        if self.seeds is not None:
            of_people = self.seeds[self.rows]
            people, places = np.nonzero((of_people >= 0) & (self.rows >= 0)[:, None])
            yield people, of_people[people, places]

    def candidates(self, people: NDArray[np.int64], page: int) -> Lists:
        """Return candidates for some people, best first; no places when there is no such page."""
        chosen = self.items[:, page * PAGE_ITEMS : (page + 1) * PAGE_ITEMS]
        nothing = np.full((1, chosen.shape[1]), -1, np.int32)
        return np.concatenate([chosen, nothing])[self.rows[people]]


def fill(
    lists: Lists,
    users: NDArray[np.int64],
    tiers: Sequence[Tier],
    rules: ListRules,
    past: Past,
    left_out: LeftOut,
    *,
    targets: NDArray[np.int64] | None = None,
    among: NDArray[np.bool_] | None = None,
) -> tuple[Lists, NDArray[np.int8]]:
    """Fill compact lists up to their width with allowed items; a row has the same number as its person in the tiers.

    :param users: for each row, the user as ``past`` numbers them.
    :param left_out: by row, gets the bits of the rules that dropped items; which ones is not recorded.
    :param targets: fill each list up to a number of items instead.
    :param among: by position, the items that may be taken; None: all.
    :returns: the lists, and by place the number (from 1) of the tier that gave the item, 0 for none.
    """
    lists, given = lists.copy(), np.zeros(lists.shape, np.int8)
    length = lists.shape[1]
    counts = np.count_nonzero(lists >= 0, axis=1)
    for number, tier in enumerate(tiers, start=1):
        page, before = 0, counts.copy()
        while len(short := np.flatnonzero(counts < (length if targets is None else targets))):
            offered = tier.candidates(short, page)
            if not offered.shape[1]:
                break
            if among is not None and len(among):
                offered = np.where(among[offered], offered, -1)
            rows = Candidates(np.concatenate([lists[short], offered], axis=1), users[short], past)
            here = LeftOut.of(len(short))
            allowed, _ = rules.apply(rows, here)
            # A tier offers what the list has already: that costs the list nothing.
            left_out.bits[short] |= here.bits & ~rules.bits[DUPLICATE]
            packed, filled = compact(allowed, length)
            if targets is not None:
                filled = np.minimum(filled, targets[short])
                packed = np.where(np.arange(length) < filled[:, None], packed, -1)
            lists[short] = packed
            counts[short] = filled
            page += 1
        longer = np.flatnonzero(counts > before)
        places, first, end = np.arange(length), before[longer, None], counts[longer, None]
        given[longer] = np.where((places >= first) & (places < end), number, given[longer])
    return lists, given
