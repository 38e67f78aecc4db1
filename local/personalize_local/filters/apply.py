"""Decide which items a filter leaves to a user.

Filters see the datasets as they are when the job begins. Of a user's interactions they see the last 100 of
each event type. AND binds stronger than OR; a null field meets no condition (both undocumented).
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.datasets.avro import DatasetSchema
from personalize_local.filters.grammar import ANY, Condition, Expression, Parameter
from personalize_local.filters.values import ParameterValues

# Quota: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_EVENTS_PER_TYPE = 100
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Cell = str | float | None


class MissingParameter(Exception):  # ruff: ignore[error-suffix-on-exception-name] - says what happened, to this line only
    """Tell that an INCLUDE lacks a value: the line, and only the line, fails."""


@dataclass(frozen=True)
class FilterData:
    """Hold what a filter looks at: a table per dataset type, with the schemas."""

    tables: dict[str, pa.Table]
    schemas: dict[str, DatasetSchema]


class ItemFilter:
    """Answer, for one user after another, which items may be recommended."""

    def __init__(
        self, expressions: Iterable[Expression], data: FilterData, user_ids: Collection[str]
    ) -> None:
        self._expressions = tuple(expressions)
        self._data = data
        self._events = _events(data.tables.get("INTERACTIONS"), user_ids)
        self._users = _users(data.tables.get("USERS"), user_ids)
        self._item_sets: dict[tuple[Condition, tuple[Cell, ...]], frozenset[str]] = {}

    def for_user(self, user_id: str, given: ParameterValues) -> Callable[[str], bool]:
        """Return the test an item has to pass; raise `MissingParameter`."""
        included: list[frozenset[str]] = []
        excluded: list[frozenset[str]] = []
        for expression in self._expressions:
            missing = expression.parameters() - given.keys()
            if missing and expression.includes:
                raise MissingParameter(f"filterValues must give {', '.join(sorted(missing))}")
            # An EXCLUDE without its value does nothing, as does an expression whose IF is not met.
            if not missing and self._applies(expression, user_id, given):
                (included if expression.includes else excluded).append(
                    self._items(expression, user_id, given)
                )
        if not included:
            return lambda item: not any(item in items for items in excluded)
        wanted = frozenset().union(*included).difference(*excluded)
        return wanted.__contains__

    def _applies(self, expression: Expression, user_id: str, given: ParameterValues) -> bool:
        row = self._users.get(user_id, {})
        return all(
            _meets(row.get(condition.field), condition, _values(condition, given))
            for condition in expression.only_if
        )

    def _items(self, expression: Expression, user_id: str, given: ParameterValues) -> frozenset[str]:
        groups = (
            frozenset.intersection(*(self._matching(condition, user_id, given) for condition in group))
            for group in expression.where
        )
        return frozenset().union(*groups)

    def _matching(self, condition: Condition, user_id: str, given: ParameterValues) -> frozenset[str]:
        values = _values(condition, given)
        if condition.dataset == "INTERACTIONS":
            return _items_of_events(self._events.get(user_id, {}), condition, values)
        key = (condition, values)
        if key not in self._item_sets:
            self._item_sets[key] = self._scan_items(condition, values)
        return self._item_sets[key]

    def _scan_items(self, condition: Condition, values: tuple[Cell, ...]) -> frozenset[str]:
        table = self._data.tables.get("ITEMS")
        if table is None:
            return frozenset()
        schema = self._data.schemas["ITEMS"]
        multi_value = any(field.name == condition.field and field.categorical for field in schema.fields)
        pairs = zip(table["ITEM_ID"].to_pylist(), table[condition.field].to_pylist(), strict=True)
        return frozenset(item for item, cell in pairs if _meets(cell, condition, values, multi_value))


def _meets(cell: Cell, condition: Condition, values: tuple[Cell, ...], multi_value: bool = True) -> bool:
    if cell is None:
        return False
    if condition.operator in _COMPARE:
        return all(_COMPARE[condition.operator](float(cell), float(value or 0)) for value in values)
    cells: list[Cell] = [*cell.split("|")] if multi_value and isinstance(cell, str) else [cell]
    return any(part in values for part in cells) == (condition.operator == "IN")


def _values(condition: Condition, given: ParameterValues) -> tuple[Cell, ...]:
    values: list[Cell] = []
    for value in condition.values:
        values += given[value.name] if isinstance(value, Parameter) else [value]
    if condition.operator in _COMPARE:
        values = [value for value in values if isinstance(value, float)]
        if not values:
            raise MissingParameter(f"filterValues must give a number to compare {condition.field} with")
    return tuple(values)


def _items_of_events(
    events: dict[str, list[str]], condition: Condition, values: tuple[Cell, ...]
) -> frozenset[str]:
    # Event types, and nothing else, are compared without regard to case.
    wanted = {str(value).lower() for value in values}
    matching = [
        items
        for event, items in events.items()
        if ANY in wanted or (event in wanted) == (condition.operator == "IN")
    ]
    return frozenset(item for items in matching for item in items)


def _events(table: pa.Table | None, user_ids: Collection[str]) -> dict[str, dict[str, list[str]]]:
    """Return user → event type in lower case → items of the last events."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    if table is None or "EVENT_TYPE" not in table.column_names:
        return found
    table = table.filter(pc.is_in(table["USER_ID"], pa.array(list(user_ids), pa.string())))
    table = table.select(["USER_ID", "ITEM_ID", "EVENT_TYPE", "TIMESTAMP"]).sort_by(
        [("TIMESTAMP", "descending")]
    )
    columns = (table[name].to_pylist() for name in ("USER_ID", "ITEM_ID", "EVENT_TYPE"))
    for user, item, event in zip(*columns, strict=True):
        items = found[user][event.lower()]
        if len(items) < _MOST_EVENTS_PER_TYPE:
            items.append(item)
    return found


def _users(table: pa.Table | None, user_ids: Collection[str]) -> dict[str, dict[str, Cell]]:
    if table is None:
        return {}
    table = table.filter(pc.is_in(table["USER_ID"], pa.array(list(user_ids), pa.string())))
    return {row["USER_ID"]: row for row in table.to_pylist()}
