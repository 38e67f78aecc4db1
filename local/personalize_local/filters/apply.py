"""Decide which items, users or actions a filter leaves.

Filters see the datasets as they are when the job begins. Of a user's interactions they see the last 100 of each
event type, of action interactions the last 300. A null field meets no condition (not documented).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial

import numpy as np
import pyarrow.compute as pc

from personalize_local.filters.allowed import Allowed, Remainder
from personalize_local.filters.combine import Filled, Filter, line_values, no_current_item
from personalize_local.filters.combine import FilterData as FilterData  # part of this module's interface
from personalize_local.filters.events import LastEvents
from personalize_local.filters.expressions import Condition, Expression
from personalize_local.filters.metadata import Cell, Mask
from personalize_local.filters.values import MissingParameter as MissingParameter  # part of it as well
from personalize_local.filters.values import ParameterValues

# Quota: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_EVENTS_PER_TYPE = {"INTERACTIONS": 100, "ACTION_INTERACTIONS": 300}


class ItemFilter(Filter):
    """Answer, for one input line after another, which items (or actions) may be recommended.

    :param user_ids: users that will be asked for.
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
        """Return the test that ids have to pass.

        :param given: values of the line's parameters.
        :param item_id: the current item, for related items.
        :raises MissingParameter: when the line lacks what the filter needs.
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
    """Answer which users a segment may hold.

    :param user_ids: users that can be in a segment. None: all users of the datasets.
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
        """Return the test that user ids have to pass.

        :param given: values of the line's parameters.
        :raises MissingParameter: when the line lacks what the filter needs.
        """
        numbers = range(len(self.expressions))
        filled = tuple(each for n in numbers if (each := self.fill(n, given, no_current_item)))
        return Allowed(partial(self._remainder, filled))

    def mask(self, condition: Condition, values: tuple[Cell, ...]) -> Mask:
        """Return which users meet a condition; one of events is met by one event of that type on any item."""
        if condition.dataset == "INTERACTIONS":
            return self._events.users(condition, values)
        known = self._users.mask(condition, values)
        return np.pad(known, (0, self.rows() - len(known)))

    def rows(self) -> int:
        """Return how many users there are."""
        return len(self._places)

    def _remainder(self, filled: tuple[Filled, ...]) -> Remainder:
        return Remainder(self._places, self.left(filled, self.includes(filled)))
