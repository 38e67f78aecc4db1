"""Find the rows of a dataset with ids (items, users, actions) that meet a condition, all at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_local.datasets.avro import DatasetSchema, Field
from personalize_local.filters.expressions import Condition

Cell = str | float
Mask = NDArray[np.bool_]

_COMPARE: dict[str, Callable[[NDArray[np.float64], float], Mask]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# Each holds a byte per row; what a batch job asks again and again is among the last so many.
_MASKS_KEPT = 128


class Metadata:
    """Hold the rows of one dataset, the last of each id."""

    def __init__(self, table: pa.Table | None, id_column: str, schema: DatasetSchema | None) -> None:
        ids = [] if table is None else table[id_column].to_pylist()
        last = {row_id: row for row, row_id in enumerate(ids)}
        self.places = {row_id: place for place, row_id in enumerate(last)}
        self._table: Any = None if table is None or not ids else table.take(pa.array(list(last.values())))
        self._fields = {field.name: field for field in schema.fields} if schema else {}
        self._columns: dict[str, _Column] = {}
        self.mask = lru_cache(_MASKS_KEPT)(self._mask)

    def __len__(self) -> int:
        return len(self.places)

    def meets(self, row_id: str, condition: Condition, values: tuple[Cell, ...]) -> bool:
        """Tell whether one row meets a condition; an unknown id meets none."""
        place = self.places.get(row_id)
        return place is not None and bool(self.mask(condition, values)[place])

    def cells(self, row_id: str, field: str) -> tuple[Cell, ...]:
        """Return what one row holds: each of its categories, or the one value; nothing for null."""
        place = self.places.get(row_id)
        return () if place is None else self._column(field).cells(place)

    def _mask(self, condition: Condition, values: tuple[Cell, ...]) -> Mask:
        """Return which rows meet a condition; a null meets none (not documented)."""
        if self._table is None:
            return np.zeros(0, np.bool_)
        column = self._column(condition.field)
        if condition.is_comparison:
            return column.compared(_COMPARE[condition.operator], values)
        found = column.holding(values)
        return found if condition.operator == "IN" else column.valid & ~found

    def _column(self, name: str) -> _Column:
        if name not in self._columns:
            column = self._table[name].combine_chunks()
            field = self._fields[name]
            self._columns[name] = _Texts(column, field) if field.type == "string" else _Numbers(column)
        return self._columns[name]


class _Column:
    """Look at one column."""

    def __init__(self, column: pa.Array) -> None:
        self._array = column
        self.valid: Mask = column.is_valid().to_numpy(zero_copy_only=False)

    def holding(self, values: Sequence[Cell]) -> Mask:
        """Return the rows with one of the values."""
        raise NotImplementedError

    def compared(self, compare: Callable[[NDArray[np.float64], float], Mask], values: Sequence[Cell]) -> Mask:
        """Return the rows that compare so with each of the values."""
        raise NotImplementedError

    def cells(self, place: int) -> tuple[Cell, ...]:
        """Return the values of one row."""
        raise NotImplementedError


class _Numbers(_Column):
    @cached_property
    def _numbers(self) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._array.fill_null(0).to_numpy(zero_copy_only=False)
        return found

    def holding(self, values: Sequence[Cell]) -> Mask:
        mask = np.zeros_like(self.valid)
        for value in values:
            if not isinstance(value, str):
                mask |= self._compared(operator.eq, value)
        return self.valid & mask

    def compared(self, compare: Callable[[NDArray[np.float64], float], Mask], values: Sequence[Cell]) -> Mask:
        # Without a value (a null of the current item) nothing is met.
        mask = self.valid.copy() if values else np.zeros_like(self.valid)
        for value in values:
            mask &= self._compared(compare, value)
        return mask

    def _compared(self, compare: Callable[[NDArray[np.float64], float], Mask], value: Cell) -> Mask:
        # The value is rounded like the column: 19.99 is found among floats of 32 bits, and 1e99 is above all of them.
        with np.errstate(over="ignore"):
            return np.asarray(compare(self._numbers, float(value)))

    def cells(self, place: int) -> tuple[Cell, ...]:
        return (self._numbers[place].item(),) if self.valid[place] else ()


class _Texts(_Column):
    """Know the rows of each text; those of a categorical field hold several, parted by `|`."""

    def __init__(self, column: pa.Array, field: Field) -> None:
        super().__init__(column)
        self._parted = field.categorical

    @cached_property
    def _rows_of(self) -> dict[str, NDArray[np.int64]]:
        texts, rows = self._array, np.arange(len(self._array))
        if self._parted:
            lists = pc.split_pattern(texts, "|")
            texts, rows = lists.flatten(), pc.list_parent_indices(lists).to_numpy()
        else:
            texts, rows = texts.drop_null(), rows[self.valid]
        encoded = texts.dictionary_encode()
        codes = encoded.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        names = encoded.dictionary.to_pylist()
        starts = np.searchsorted(codes[order], np.arange(1, len(names)))
        return dict(zip(names, np.split(rows[order], starts), strict=True)) if names else {}

    def holding(self, values: Sequence[Cell]) -> Mask:
        mask = np.zeros(len(self._array), np.bool_)
        for value in values:
            if isinstance(value, str) and value in self._rows_of:
                mask[self._rows_of[value]] = True
        return mask

    def cells(self, place: int) -> tuple[Cell, ...]:
        text = self._array[place].as_py()
        return () if text is None else tuple(text.split("|")) if self._parted else (text,)
