"""Decide which items, users or actions a filter allows.

Filters see the datasets as they are when the job begins: a user's last 100 interactions of each event type, and the
last 300 action interactions. A null field meets no condition (not documented).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial, reduce
from itertools import compress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.datasets.avro import DatasetSchema
from personalize_local.filters.check import SUBJECTS
from personalize_local.filters.conditions import Cell, LastEvents, Mask, Metadata
from personalize_local.filters.expressions import Condition, CurrentItem, Expression, Placeholder, Word
from personalize_local.filters.values import MissingParameter, ParameterValues

# Each holds a byte per id; lines with the same values share one.
REMAINDERS_KEPT = 128
CurrentCells = Callable[[str], tuple[Cell, ...]]
# Quota: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_EVENTS_PER_TYPE = {"INTERACTIONS": 100, "ACTION_INTERACTIONS": 300}


@dataclass(frozen=True)
class Remainder:
    """The allowed ids of one line; `shared` is the same for all lines with the same values.

    :param places: position of each id in `shared`, in order.
    :param shared: a byte per id, 1 if allowed, and one more for ids without a row.
    :param extra: ids of this line that are always allowed.
    :param dropped: ids of this line that are not allowed, unless they are `extra`.
    """

    places: Mapping[str, int]
    shared: bytes
    extra: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()


class Allowed:
    """Test ids, one by one (called) or a list at once (:meth:`keep`).

    :meth:`keep` and :meth:`ids` do not cache the allowed ids, because thousands of instances may be queued.
    """

    def __init__(self, work_out: Callable[[], Remainder]) -> None:
        self._work_out = work_out

    def __call__(self, checked_id: str) -> bool:
        left = self._remainder
        if checked_id in left.extra:
            return True
        place = left.places.get(checked_id, -1)
        return left.shared[place] == 1 and checked_id not in left.dropped

    def keep(self, ids: Sequence[str], most: int) -> list[int]:
        """Return the positions in `ids` of the first `most` allowed ones."""
        left = self._work_out()
        places, shared, dropped, extra = left.places, left.shared, left.dropped, left.extra
        if extra:
            found = [
                n for n, i in enumerate(ids) if i in extra or (shared[places.get(i, -1)] and i not in dropped)
            ]
        else:
            found = [n for n, i in enumerate(ids) if shared[places.get(i, -1)] and i not in dropped]
        return found[:most]

    def ids(self) -> frozenset[str] | None:
        """Return all allowed ids, or None when ids without a row are allowed: for an EXCLUDE without an INCLUDE."""
        left = self._work_out()
        if left.shared[-1]:
            return None
        known = frozenset(compress(left.places, left.shared))
        return known - left.dropped | left.extra

    @cached_property
    def _remainder(self) -> Remainder:
        return self._work_out()


@dataclass(frozen=True)
class FilterData:
    """Data that a filter reads: a table and a schema per dataset type."""

    tables: Mapping[str, pa.Table]
    schemas: Mapping[str, DatasetSchema]

    def metadata(self, kind: str, id_column: str, only: Collection[str] | None = None) -> Metadata:
        """Return the rows of a dataset with ids, or only those of `only`."""
        table = self.tables.get(kind)
        if table is not None and only is not None:
            table = table.filter(pc.is_in(table[id_column], pa.array(list(only), pa.string())))
        return Metadata(table, id_column, self.schemas.get(kind))


@dataclass(frozen=True)
class Filled:
    """An expression (by number) with the values of one line, by group and condition."""

    number: int
    values: tuple[tuple[tuple[Cell, ...], ...], ...]


class Filter(ABC):
    """Compute which rows the expressions allow, once for all lines with the same values."""

    def __init__(self, expressions: Iterable[Expression], data: FilterData) -> None:
        self.expressions = tuple(expressions)
        self.subject = SUBJECTS[self.expressions[0].subject]
        self.data = data
        self.left = lru_cache(REMAINDERS_KEPT)(self._left)
        self.excluded = lru_cache(REMAINDERS_KEPT)(self._excluded)

    @abstractmethod
    def mask(self, condition: Condition, values: tuple[Cell, ...]) -> Mask:
        """Return which rows meet a condition."""

    @abstractmethod
    def rows(self) -> int:
        """Return how many rows there are."""

    def uses(self, dataset: str) -> bool:
        """Return whether a condition reads the dataset."""
        conditions = (c for expression in self.expressions for c in expression.conditions())
        return any(c.dataset == dataset for c in conditions)

    def includes(self, filled: Iterable[Filled]) -> bool:
        """Return whether one of the expressions is an INCLUDE."""
        return any(self.expressions[each.number].includes for each in filled)

    def fill(self, number: int, given: ParameterValues, current: CurrentCells) -> Filled | None:
        """Fill in the values of a line; None for an EXCLUDE with a missing value, which is then ignored.

        :raises MissingParameter: for an INCLUDE with a missing value.
        """
        expression = self.expressions[number]
        missing = expression.parameters() - given.keys()
        if missing and expression.includes:
            raise MissingParameter(f"filterValues must give {', '.join(sorted(missing))}")
        if missing:
            return None
        where = (tuple(line_values(c, given, current) for c in group) for group in expression.where)
        return Filled(number, tuple(where))

    def _left(self, filled: tuple[Filled, ...], only_included: bool) -> bytes:
        """Return a byte per row, 1 if allowed, and one more for ids without a row."""
        everything = np.full(self.rows() + 1, not only_included, np.bool_)
        return ((everything | self._matching(filled, True)) & ~self._matching(filled, False)).tobytes()

    def _excluded(self, filled: tuple[Filled, ...]) -> bytes:
        return self._matching(filled, False).tobytes()

    def _matching(self, filled: Iterable[Filled], including: bool) -> Mask:
        found = np.zeros(self.rows() + 1, np.bool_)
        for each in filled:
            expression = self.expressions[each.number]
            if expression.includes == including:
                for group, values in zip(expression.where, each.values, strict=True):
                    masks = [self.mask(c, v) for c, v in zip(group, values, strict=True)]
                    found[:-1] |= reduce(np.logical_and, masks)
        return found


def no_current_item(field: str) -> tuple[Cell, ...]:
    """Refuse a line without the current item that the filter needs."""
    raise MissingParameter(f"the filter uses CurrentItem.{field}, so itemId is required")


def line_values(
    condition: Condition, given: ParameterValues, current: CurrentCells = no_current_item
) -> tuple[Cell, ...]:
    """Return the values of a condition, including those of the line and of the current item.

    :raises MissingParameter: for a comparison with anything but one number.
    """
    values: list[Cell] = []
    for value in condition.values:
        if isinstance(value, Placeholder):
            values += given[value.name]
        elif isinstance(value, CurrentItem):
            values += current(value.field)
        elif not isinstance(value, Word):
            values.append(value)
    if condition.is_comparison and condition.current_item_field is None:
        values = [value for value in values if not isinstance(value, str)]
        if len(values) != 1:
            raise MissingParameter(f"filterValues must give one number to compare {condition.field} with")
    return tuple(values)


class ItemFilter(Filter):
    """Compute which items (or actions) may be recommended, line by line.

    :param user_ids: users of all lines.
    """

    def __init__(
        self, expressions: Iterable[Expression], data: FilterData, user_ids: Collection[str]
    ) -> None:
        super().__init__(expressions, data)
        events = self.subject.events
        self._items = data.metadata(self.subject.metadata, self.subject.id_column)
        self._users = data.metadata("USERS", "USER_ID", user_ids if self.uses("USERS") else ())
        self._events = LastEvents(
            data.tables.get(events) if self.uses(events) else None,
            self.subject.id_column,
            user_ids,
            _MOST_EVENTS_PER_TYPE[events],
        )

    def for_user(self, user_id: str, given: ParameterValues, item_id: str | None = None) -> Allowed:
        """Return the test of one line.

        :param given: values of the line's parameters.
        :param item_id: the current item, for related items.
        :raises MissingParameter: when the line lacks a value that the filter needs.
        """
        current = no_current_item if item_id is None else partial(self._items.cells, item_id)
        shared: list[Filled] = []
        own: list[Filled] = []
        for number, expression in enumerate(self.expressions):
            filled = self.fill(number, given, current)
            if filled is not None and self._applies(expression, user_id, given):
                is_own = expression.where[0][0].dataset == self.subject.events
                (own if is_own else shared).append(filled)
        return Allowed(partial(self._remainder, user_id, tuple(shared), tuple(own)))

    def mask(self, condition: Condition, values: tuple[Cell, ...]) -> Mask:
        """Return which items meet a condition."""
        return self._items.mask(condition, values)

    def rows(self) -> int:
        """Return how many items have a row."""
        return len(self._items)

    def _applies(self, expression: Expression, user_id: str, given: ParameterValues) -> bool:
        return all(self._users.meets(user_id, c, line_values(c, given)) for c in expression.only_if)

    def _remainder(self, user_id: str, shared: tuple[Filled, ...], own: tuple[Filled, ...]) -> Remainder:
        places, left = self._items.places, self.left(shared, self.includes((*shared, *own)))
        if not own:
            return Remainder(places, left)
        dropped, added = self._own_ids(user_id, own, False), self._own_ids(user_id, own, True)
        excluded = self.excluded(shared) if added else b"\0"
        extra = frozenset(i for i in added - dropped if not excluded[places.get(i, -1)])
        return Remainder(places, left, extra, dropped)

    def _own_ids(self, user_id: str, own: Iterable[Filled], including: bool) -> frozenset[str]:
        found: set[str] = set()
        for each in own:
            expression = self.expressions[each.number]
            if expression.includes == including:
                for group, values in zip(expression.where, each.values, strict=True):
                    ids = [self._events.ids(user_id, c, v) for c, v in zip(group, values, strict=True)]
                    found |= frozenset.intersection(*ids)
        return frozenset(found)


class UserFilter(Filter):
    """Compute which users a segment may contain.

    :param user_ids: candidate users; None for all users of the datasets.
    """

    def __init__(
        self, expressions: Iterable[Expression], data: FilterData, user_ids: Collection[str] | None = None
    ) -> None:
        super().__init__(expressions, data)
        events = data.tables.get("INTERACTIONS") if self.uses("INTERACTIONS") else None
        self._users = data.metadata("USERS", "USER_ID", user_ids)
        self._places = dict(self._users.places)
        if events is not None:
            for user_id in pc.unique(events["USER_ID"]).to_pylist() if user_ids is None else user_ids:
                self._places.setdefault(user_id, len(self._places))
        self._events = LastEvents(events, "ITEM_ID", self._places, _MOST_EVENTS_PER_TYPE["INTERACTIONS"])

    def for_values(self, given: ParameterValues) -> Allowed:
        """Return the test of one line.

        :param given: values of the line's parameters.
        :raises MissingParameter: when the line lacks a value that the filter needs.
        """
        numbers = range(len(self.expressions))
        filled = tuple(each for n in numbers if (each := self.fill(n, given, no_current_item)))
        return Allowed(partial(self._remainder, filled))

    def mask(self, condition: Condition, values: tuple[Cell, ...]) -> Mask:
        """Return which users meet a condition; for events, one event of that type on any item is enough."""
        if condition.dataset == "INTERACTIONS":
            return self._events.users(condition, values)
        known = self._users.mask(condition, values)
        return np.pad(known, (0, self.rows() - len(known)))

    def rows(self) -> int:
        """Return how many users there are."""
        return len(self._places)

    def _remainder(self, filled: tuple[Filled, ...]) -> Remainder:
        return Remainder(self._places, self.left(filled, self.includes(filled)))
