"""The items that may be mailed, as columns: what reaches Braze, and what the rules ask about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.core.payloads import dumps, to_json
from recsync.core.program import Rules
from recsync.errors import FatalError

CATALOGUE = pa.schema([("item_id", pa.string()), ("fields", pa.string())])
_ROWS = pa.schema([*CATALOGUE, ("in_stock", pa.bool_()), ("category", pa.string())])
# Rows held as Python objects at a time.
_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Catalogue:
    """Items by position: everywhere else a list holds positions in these columns.

    :param table: ``item_id`` (sorted, each once) and ``fields`` (a JSON object), as ``CATALOGUE``.
    :param in_stock: by position; None when the program does not ask.
    :param categories: a number by position, -1 for an item without category; None when the program does not ask.
    :param unusable: how many items were left out because of their ids, and one of these ids.
    """

    table: pa.Table
    in_stock: NDArray[np.bool_] | None = None
    categories: NDArray[np.int32] | None = None
    unusable: tuple[int, str] = (0, "")

    @property
    def item_ids(self) -> pa.StringArray:
        """Item ids by position."""
        return self.table["item_id"].chunk(0)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def positions(self, item_ids: pa.Array) -> NDArray[np.int32]:
        """Find items by id; -1 stands for what the catalogue does not hold."""
        found = pc.index_in(item_ids, value_set=self.item_ids)
        positions: NDArray[np.int32] = found.fill_null(-1).to_numpy(zero_copy_only=False)
        return positions


def read_catalogue(
    rows: Iterable[tuple[Any, ...]],
    columns: Sequence[str],
    sent_fields: Sequence[str],
    rules: Rules,
    *,
    usable: re.Pattern[str] | None = None,
    name: str,
) -> Catalogue:
    """Read the rows of ``catalogue.sql``; of two rows with one id the last counts.

    :param columns: names of the values in a row, ``item_id`` first.
    :param sent_fields: the columns that reach Braze.
    :param usable: ids that the Braze catalogue can hold; None: all of them.
    :param name: the SQL file, for errors.
    :raises FatalError: when no item can be mailed, or the column of ``rules.in_stock`` is not boolean.
    """
    reader = _Reader(
        {column: place for place, column in enumerate(columns)}, sent_fields, rules, usable, name
    )
    table = pa.Table.from_batches(reader.batches(rows), schema=_ROWS)
    numbered = table.append_column("row", pa.array(np.arange(table.num_rows)))
    newest = numbered.group_by("item_id", use_threads=False).aggregate([("row", "max")]).sort_by("item_id")
    table = table.take(newest["row_max"]).combine_chunks()
    if not table.num_rows:
        raise FatalError(f"{name} returns no item that can be mailed; check the query.")
    categories = table["category"].chunk(0).dictionary_encode().indices.fill_null(-1)
    return Catalogue(
        table.select(CATALOGUE.names),
        table["in_stock"].chunk(0).to_numpy(zero_copy_only=False) if rules.in_stock else None,
        categories.to_numpy(zero_copy_only=False) if rules.category else None,
        (reader.unusable, reader.example),
    )


class _Reader:
    def __init__(
        self,
        places: dict[str, int],
        sent_fields: Sequence[str],
        rules: Rules,
        usable: re.Pattern[str] | None,
        name: str,
    ) -> None:
        self._sent = [(field, places[field]) for field in sent_fields]
        self._in_stock = places[rules.in_stock] if rules.in_stock else None
        self._category = places[rules.category] if rules.category else None
        self._rules, self._usable, self._name = rules, usable, name
        self.unusable, self.example = 0, ""

    def batches(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[pa.RecordBatch]:
        waiting = (self._row(row) for row in rows if self._is_usable(row[0]))
        while block := list(islice(waiting, _BATCH_ROWS)):
            yield pa.RecordBatch.from_pylist(block, schema=_ROWS)

    def _is_usable(self, item_id: object) -> bool:
        text = "" if item_id is None else str(item_id)
        good = bool(self._usable.fullmatch(text) if self._usable else text)
        if not good:
            self.unusable, self.example = self.unusable + 1, self.example or text
        return good

    def _row(self, row: tuple[Any, ...]) -> dict[str, Any]:
        category = None if self._category is None else row[self._category]
        return {
            "item_id": str(row[0]),
            "fields": dumps({field: to_json(row[place]) for field, place in self._sent}).decode(),
            "in_stock": self._stocked(row),
            "category": None if category is None else str(category),
        }

    def _stocked(self, row: tuple[Any, ...]) -> bool:
        if self._in_stock is None:
            return True
        value = row[self._in_stock]
        # Where the warehouse does not say, nobody should be sent to an empty shelf.
        if value is None:
            return False
        if value in (0, 1):  # a boolean, or how a warehouse without booleans writes one
            return bool(value)
        raise FatalError(
            f"{self._name} returns {value!r} as {self._rules.in_stock} of item {row[0]}; "
            "recommendations.rules.in_stock needs a boolean column, e.g. stock > 0 AS in_stock."
        )
