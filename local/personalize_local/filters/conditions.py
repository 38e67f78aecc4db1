"""Find the rows and the recent events that meet a condition."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_local.datasets.avro import DatasetSchema, Field
from personalize_local.filters.expressions import ANY, Condition

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
# Masks to cache, of one byte per row each.
_MASKS_KEPT = 128


class Metadata:
    """Rows of one dataset, the last of each id."""

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
        """Return whether one row meets a condition; an unknown id meets none."""
        place = self.places.get(row_id)
        return place is not None and bool(self.mask(condition, values)[place])

    def cells(self, row_id: str, field: str) -> tuple[Cell, ...]:
        """Return the categories or the value of one row; empty for null."""
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
    """Evaluate conditions on one column."""

    def __init__(self, column: pa.Array) -> None:
        self._array = column
        self.valid: Mask = column.is_valid().to_numpy(zero_copy_only=False)

    def holding(self, values: Sequence[Cell]) -> Mask:
        """Return the rows with one of the values."""
        raise NotImplementedError

    def compared(self, compare: Callable[[NDArray[np.float64], float], Mask], values: Sequence[Cell]) -> Mask:
        """Return the rows for which the comparison holds with each of the values."""
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
        # Without a value (null in the current item) no row matches.
        mask = self.valid.copy() if values else np.zeros_like(self.valid)
        for value in values:
            mask &= self._compared(compare, value)
        return mask

    def _compared(self, compare: Callable[[NDArray[np.float64], float], Mask], value: Cell) -> Mask:
        # numpy rounds the value to the column's type: 19.99 matches 32-bit floats, and 1e99 exceeds all of them.
        with np.errstate(over="ignore"):
            return np.asarray(compare(self._numbers, float(value)))

    def cells(self, place: int) -> tuple[Cell, ...]:
        return (self._numbers[place].item(),) if self.valid[place] else ()


class _Texts(_Column):
    """Index rows by text; cells of a categorical field may have several, separated by `|`."""

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


class LastEvents:
    """Each user's last events of each type as arrays, grouped by user.

    :param table: `INTERACTIONS` or `ACTION_INTERACTIONS`; None, or a table without `EVENT_TYPE`, gives no events.
    :param id_column: id column of the events, e.g. `ITEM_ID`.
    :param user_ids: users of all lines.
    :param most_per_type: number of events per user and type; older ones are ignored.
    """

    def __init__(
        self, table: pa.Table | None, id_column: str, user_ids: Collection[str], most_per_type: int
    ) -> None:
        self._users = {user_id: place for place, user_id in enumerate(user_ids)}
        self._types: list[str] = []
        self._type_codes = np.zeros(0, np.int32)
        self._id_codes = np.zeros(0, np.int32)
        self._ids: list[str] = []
        self._starts = np.zeros(len(self._users) + 1, np.int64)
        self._wanted = cache(self._wanted_types)
        if table is not None and "EVENT_TYPE" in table.column_names:
            self._fill(table, id_column, most_per_type)

    def ids(self, user_id: str, condition: Condition, values: tuple[Cell, ...]) -> frozenset[str]:
        """Return the ids of the user's last events with a matching type."""
        place = self._users.get(user_id)
        if place is None:
            return frozenset()
        span = slice(self._starts[place], self._starts[place + 1])
        codes = self._id_codes[span][self._wanted(condition.operator, values)[self._type_codes[span]]]
        return frozenset([self._ids[code] for code in codes.tolist()])

    def users(self, condition: Condition, values: tuple[Cell, ...]) -> Mask:
        """Return a mask of the users with an event of a matching type, in the given order of users."""
        hits = np.flatnonzero(self._wanted(condition.operator, values)[self._type_codes])
        mask = np.zeros(len(self._users), np.bool_)
        mask[np.searchsorted(self._starts, hits, side="right") - 1] = True
        return mask

    def _fill(self, table: pa.Table, id_column: str, most_per_type: int) -> None:
        users = pc.index_in(table["USER_ID"], value_set=pa.array(list(self._users), pa.string()))
        known = users.is_valid()
        table = table.filter(known)
        owners = users.filter(known).to_numpy().astype(np.int64)
        self._type_codes, self._types = _encoded(pc.utf8_lower(table["EVENT_TYPE"]))
        self._id_codes, self._ids = _encoded(table[id_column])
        seen = _last(
            owners * len(self._types) + self._type_codes, table["TIMESTAMP"].to_numpy(), most_per_type
        )
        owners = owners[seen]
        by_user = np.argsort(owners, kind="stable")
        self._type_codes = self._type_codes[seen][by_user]
        self._id_codes = self._id_codes[seen][by_user]
        self._starts = np.searchsorted(owners[by_user], np.arange(len(self._users) + 1))

    def _wanted_types(self, operator: str, values: tuple[Cell, ...]) -> Mask:
        # Only event types are compared case-insensitively.
        wanted = {str(value).lower() for value in values}
        return np.array(
            [ANY in wanted or (event in wanted) == (operator == "IN") for event in self._types], np.bool_
        )


def _encoded(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    encoded = column.dictionary_encode().combine_chunks()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def _last(groups: NDArray[np.int64], times: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Return which rows are among the last `most` of their group; only larger groups are sorted."""
    kept = np.ones(len(groups), np.bool_)
    crowded = np.flatnonzero(np.bincount(groups)[groups] > most)
    newest_first = crowded[np.lexsort((-times[crowded], groups[crowded]))]
    starts = np.flatnonzero(np.diff(groups[newest_first], prepend=-1))
    ranks = np.arange(len(newest_first)) - np.repeat(starts, np.diff(starts, append=len(newest_first)))
    kept[newest_first[ranks >= most]] = False
    return kept
