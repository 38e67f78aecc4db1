"""Know what users did last, by event type."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize_local.filters.expressions import ANY, Condition
from personalize_local.filters.metadata import Cell, Mask


class LastEvents:
    """Hold each user's last events of each type as arrays, those of one user next to each other.

    :param table: `INTERACTIONS` or `ACTION_INTERACTIONS`; None, or one without `EVENT_TYPE`, holds no events.
    :param id_column: what the events are about, e.g. `ITEM_ID`.
    :param user_ids: users that will be asked for.
    :param most_per_type: older events of a user and type are not seen.
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
        """Return the ids of the user's last events whose type meets the condition."""
        place = self._users.get(user_id)
        if place is None:
            return frozenset()
        span = slice(self._starts[place], self._starts[place + 1])
        codes = self._id_codes[span][self._wanted(condition.operator, values)[self._type_codes[span]]]
        return frozenset([self._ids[code] for code in codes.tolist()])

    def users(self, condition: Condition, values: tuple[Cell, ...]) -> Mask:
        """Return which of the users, in the order they were given, have an event whose type meets the condition."""
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
        # Event types, and nothing else, are compared without regard to case.
        wanted = {str(value).lower() for value in values}
        return np.array(
            [ANY in wanted or (event in wanted) == (operator == "IN") for event in self._types], np.bool_
        )


def _encoded(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    encoded = column.dictionary_encode().combine_chunks()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def _last(groups: NDArray[np.int64], times: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Return which rows are among the last `most` of their group; only groups with more have to be sorted."""
    kept = np.ones(len(groups), np.bool_)
    crowded = np.flatnonzero(np.bincount(groups)[groups] > most)
    newest_first = crowded[np.lexsort((-times[crowded], groups[crowded]))]
    starts = np.flatnonzero(np.diff(groups[newest_first], prepend=-1))
    ranks = np.arange(len(newest_first)) - np.repeat(starts, np.diff(starts, append=len(newest_first)))
    kept[newest_first[ranks >= most]] = False
    return kept
