"""Combine what the expressions of a filter include and exclude."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.datasets.avro import DatasetSchema
from personalize_local.filters.check import SUBJECTS
from personalize_local.filters.expressions import Condition, CurrentItem, Expression, Parameter, Word
from personalize_local.filters.metadata import Cell, Mask, Metadata
from personalize_local.filters.values import MissingParameter, ParameterValues

# Each holds a byte per id; lines with the same values share one.
REMAINDERS_KEPT = 128

CurrentCells = Callable[[str], tuple[Cell, ...]]


@dataclass(frozen=True)
class FilterData:
    """Hold what a filter looks at: a table per dataset type, with the schemas."""

    tables: Mapping[str, pa.Table]
    schemas: Mapping[str, DatasetSchema]

    def metadata(self, kind: str, id_column: str, only: Collection[str] | None = None) -> Metadata:
        """Return the rows of a dataset with ids, those of `only` where given."""
        table = self.tables.get(kind)
        if table is not None and only is not None:
            table = table.filter(pc.is_in(table[id_column], pa.array(list(only), pa.string())))
        return Metadata(table, id_column, self.schemas.get(kind))


@dataclass(frozen=True)
class Filled:
    """Name an expression by its number, with the values of one line by group and condition."""

    number: int
    values: tuple[tuple[tuple[Cell, ...], ...], ...]


class Filter(ABC):
    """Work out which rows the expressions leave, once for all lines with the same values."""

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
        """Tell whether a condition looks at the dataset."""
        conditions = (c for expression in self.expressions for c in expression.conditions())
        return any(c.dataset == dataset for c in conditions)

    def includes(self, filled: Iterable[Filled]) -> bool:
        """Tell whether one of the expressions includes."""
        return any(self.expressions[each.number].includes for each in filled)

    def fill(self, number: int, given: ParameterValues, current: CurrentCells) -> Filled | None:
        """Fill in the values of a line; None for an EXCLUDE that lacks one, which then does nothing.

        :raises MissingParameter: for an INCLUDE that lacks one.
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
        """Give a byte per row, 1 where it is left, and one more for ids without a row."""
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
    """Refuse a line without the item that the filter compares with."""
    raise MissingParameter(f"the filter uses CurrentItem.{field}, so itemId is required")


def line_values(
    condition: Condition, given: ParameterValues, current: CurrentCells = no_current_item
) -> tuple[Cell, ...]:
    """Return the values of a condition, those of the line and of the current item among them.

    :raises MissingParameter: for a comparison with anything but one number.
    """
    values: list[Cell] = []
    for value in condition.values:
        if isinstance(value, Parameter):
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
