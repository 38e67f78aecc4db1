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

from recsync.core.payloads import MAX_STRING_CHARACTERS, dumps, to_json
from recsync.core.program import Rules
from recsync.errors import FatalError

CATALOGUE = pa.schema([("item_id", pa.string()), ("fields", pa.string())])
_ROWS = pa.schema([*CATALOGUE, ("in_stock", pa.bool_()), ("categories", pa.list_(pa.string()))])
# Rows held as Python objects at a time.
_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Categories:
    """The categories of items by position, as ragged rows.

    :param starts: where the row of each item begins in ``codes``; one more than there are items.
    :param codes: a number per category; each at most once in a row.
    """

    starts: NDArray[np.int64]
    codes: NDArray[np.int32]


@dataclass(frozen=True)
class Catalogue:
    """Items by position: everywhere else a list holds positions in these columns.

    :param table: ``item_id`` (sorted, each once) and ``fields`` (a JSON object), as ``CATALOGUE``.
    :param in_stock: by position; None when the program does not ask.
    :param categories: None when the program does not ask.
    :param unusable: how many items were left out because Braze cannot hold their ids.
    """

    table: pa.Table
    in_stock: NDArray[np.bool_] | None = None
    categories: Categories | None = None
    unusable: int = 0

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
    :param usable: ids that the Braze catalogue can hold; None: all that an attribute can hold.
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
    return Catalogue(
        table.select(CATALOGUE.names),
        table["in_stock"].chunk(0).to_numpy(zero_copy_only=False) if rules.in_stock else None,
        _categories(table["categories"].chunk(0)) if rules.category else None,
        reader.unusable,
    )


def _categories(column: pa.ListArray) -> Categories:
    names = column.flatten().dictionary_encode()
    return Categories(column.offsets.to_numpy().astype(np.int64), names.indices.to_numpy())


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
        self.unusable = 0

    def batches(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[pa.RecordBatch]:
        waiting = (self._row(row) for row in rows if self._is_usable(row[0]))
        while block := list(islice(waiting, _BATCH_ROWS)):
            yield pa.RecordBatch.from_pylist(block, schema=_ROWS)

    def _is_usable(self, item_id: object) -> bool:
        text = "" if item_id is None else str(item_id)
        good = 0 < len(text) <= MAX_STRING_CHARACTERS
        good = good and (self._usable is None or self._usable.fullmatch(text) is not None)
        self.unusable += not good
        return good

    def _row(self, row: tuple[Any, ...]) -> dict[str, Any]:
        category = None if self._category is None else row[self._category]
        # As in the datasets of Amazon Personalize, an item with several categories has them joined with "|".
        names = () if category is None else (name.strip() for name in str(category).split("|"))
        return {
            "item_id": str(row[0]),
            "fields": dumps({field: to_json(row[place]) for field, place in self._sent}).decode(),
            "in_stock": self._stocked(row),
            "categories": list(dict.fromkeys(filter(None, names))),
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
            f"{self._name} returns a {type(value).__name__} as {self._rules.in_stock}; "
            "recommendations.rules.in_stock needs a boolean column, e.g. stock > 0 AS in_stock."
        )
