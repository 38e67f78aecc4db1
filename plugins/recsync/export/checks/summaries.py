"""What the report says about each column, gathered block by block."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsync.export.checks.odd_texts import odd_category
from recsync.program.columns import Column, Role
from recsync.storage.hashes import numbers_of
from recsync.warehouse.values import MAX_TEXTUAL_CHARACTERS

# Far above what a category should have; a column with more is not counted further.
MAX_COUNTED_VALUES = 20_000
_SHOWN_CHARACTERS = 100


class ColumnSummary:
    """One column's nulls, distinct values, smallest and largest value."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.nulls = 0
        self.too_long = 0
        self._smallest: Any = None
        self._largest: Any = None
        self._values: set[str] = set()
        self._parts: set[str] = set()
        self._counted = column.role is Role.CATEGORY or column.role is Role.EVENT_TYPE
        self._odd_values: dict[str, str] = {}
        self.odd = Counter[str]()
        """Rows by the rule that their value breaks."""

    def add(self, values: pa.Array) -> None:
        """Take the values of one block."""
        self.nulls += values.null_count
        if values.null_count == len(values):
            return
        if self.column.is_number:
            self._number(values)
        elif self.column.is_dictionary:
            self._dictionary(values.dictionary)
            if self._odd_values:
                self._count_odd(values)
        elif self.column.role is Role.TEXTUAL:
            self.too_long += int(
                pc.sum(pc.greater(pc.utf8_length(values), MAX_TEXTUAL_CHARACTERS)).as_py() or 0
            )

    @property
    def distinct(self) -> int | None:
        """How many values there are, of a category after its split; None when not counted or too many."""
        return len(self._parts) if self._counted else None

    @property
    def many_values(self) -> bool:
        """Whether there are more values than are counted."""
        return self.column.role is Role.CATEGORY and not self._counted

    def to_json(self, distinct: int | None) -> dict[str, Any]:
        """Write it for the report.

        :param distinct: the number of values when it is known from elsewhere.
        """
        return {
            "name": self.column.name,
            "type": self.column.type,
            "nulls": self.nulls,
            "distinct": self.distinct if distinct is None else distinct,
            "smallest": None if self._smallest is None else str(self._smallest)[:_SHOWN_CHARACTERS],
            "largest": None if self._largest is None else str(self._largest)[:_SHOWN_CHARACTERS],
        }

    def _number(self, values: pa.Array) -> None:
        numbers = numbers_of(values.drop_null() if values.null_count else values)
        self._extend(np.min(numbers).item(), np.max(numbers).item())

    def _dictionary(self, values: pa.Array) -> None:
        bounds = pc.min_max(values).as_py()
        self._extend(bounds["min"], bounds["max"])
        if not self._counted:
            return
        for value in values.to_pylist():
            if value not in self._values:
                self._values.add(value)
                if rule := odd_category(value):
                    self._odd_values[value] = rule
                self._parts.update(value.split("|") if self.column.role is Role.CATEGORY else (value,))
        if len(self._parts) > MAX_COUNTED_VALUES:
            self._counted = False
            self._values, self._parts = set(), set()

    def _count_odd(self, values: pa.Array) -> None:
        rows = np.bincount(values.indices.drop_null().to_numpy(), minlength=len(values.dictionary))
        for value, count in zip(values.dictionary.to_pylist(), rows.tolist(), strict=True):
            if rule := self._odd_values.get(value):
                self.odd[rule] += count

    def _extend(self, smallest: Any, largest: Any) -> None:
        self._smallest = smallest if self._smallest is None else min(smallest, self._smallest)
        self._largest = largest if self._largest is None else max(largest, self._largest)
