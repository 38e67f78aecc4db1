"""Hold a filter as it was parsed: expressions, their conditions and the values in these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
ANY = "*"


@dataclass(frozen=True)
class Parameter:
    """Stand for a value that each line of the input gives (`$NAME`)."""

    name: str


@dataclass(frozen=True)
class CurrentItem:
    """Stand for a field of the item that related items are asked for (`CurrentItem.FIELD`)."""

    field: str


@dataclass(frozen=True)
class Word:
    """Hold a value that stands in the expression without quotes; no field takes one."""

    text: str


Value = str | int | float | Parameter | CurrentItem | Word


@dataclass(frozen=True)
class Condition:
    """Test one field: operator `IN`, `NOT IN` or a comparison; a comparison has one value."""

    dataset: str
    field: str
    operator: str
    values: tuple[Value, ...]

    @property
    def is_comparison(self) -> bool:
        """Tell whether the operator compares numbers."""
        return self.operator in COMPARISONS

    @property
    def current_item_field(self) -> str | None:
        """Return the field of the current item that is compared with, if there is one."""
        return next((value.field for value in self.values if isinstance(value, CurrentItem)), None)


@dataclass(frozen=True)
class Expression:
    """Include or exclude ids: `where` is an OR of ANDs, `only_if` an AND about the current user."""

    includes: bool
    where: tuple[tuple[Condition, ...], ...]
    only_if: tuple[Condition, ...] = ()
    subject: str = "ITEM_ID"

    def conditions(self) -> Iterator[Condition]:
        """Give all conditions, those about the user last."""
        for group in self.where:
            yield from group
        yield from self.only_if

    def parameters(self) -> set[str]:
        """Return the names of the values that a line has to give."""
        values = (value for condition in self.conditions() for value in condition.values)
        return {value.name for value in values if isinstance(value, Parameter)}


def fields_of(expressions: Iterable[Expression]) -> set[tuple[str, str]]:
    """Return the distinct (dataset, field) pairs that a filter looks at, those of the current item as well."""
    conditions = [condition for expression in expressions for condition in expression.conditions()]
    named = {(condition.dataset, condition.field) for condition in conditions}
    return named | {("ITEMS", c.current_item_field) for c in conditions if c.current_item_field}


def uses_current_item(expressions: Iterable[Expression]) -> bool:
    """Tell whether a filter can be used for related items only."""
    conditions = (condition for expression in expressions for condition in expression.conditions())
    return any(condition.current_item_field for condition in conditions)
