"""The items that may be mailed, as columns: what reaches Braze, and what the rules ask about them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from braze_client.payloads import MAX_STRING_CHARACTERS, dumps
from recsync.program import Rules
from recsync.recommend.lists.catalogue_report import BAD_ID, BAD_VALUE, DUPLICATE, CatalogueReport
from recsync.warehouse.query_columns import Kind
from recsync.warehouse.texts import converter, parts

CATALOGUE = pa.schema([("item_id", pa.string()), ("fields", pa.string())])
_ROWS = pa.schema([
    *CATALOGUE, ("in_stock", pa.bool_()), ("categories", pa.list_(pa.string())), ("values", pa.int64()),
])  # fmt: skip


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
    :param report: what is wrong with the rows.
    """

    table: pa.Table
    in_stock: NDArray[np.bool_] | None = None
    categories: Categories | None = None
    report: CatalogueReport = field(default_factory=lambda: CatalogueReport(""))

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
    batches: Iterable[pa.RecordBatch],
    kinds: Mapping[str, Kind],
    sent_fields: Mapping[str, str | None],
    rules: Rules,
    *,
    usable: re.Pattern[str] | None = None,
    name: str,
) -> Catalogue:
    """Read the rows of ``catalogue.sql``; of two rows with one id the last counts.

    Rows with a value that is not what it must be are left out, counted and named in the catalogue's report.

    :param batches: texts of ``item_id``, the sent fields and the columns of the rules.
    :param kinds: what the columns are.
    :param sent_fields: the columns that reach Braze, with their declared types; None: as the warehouse has them.
    :param usable: ids that the Braze catalogue can hold; None: all that an attribute can hold.
    :param name: the SQL file, for errors.
    """
    reader = _Reader(kinds, sent_fields, rules, usable, name)
    table = pa.Table.from_batches(map(reader.batch, batches), schema=_ROWS)
    numbered = table.append_column("place", pa.array(np.arange(table.num_rows)))
    newest = (
        numbered.group_by("item_id", use_threads=False)
        .aggregate([("place", "max"), ("values", "count_distinct")])
        .sort_by("item_id")
    )
    report = reader.report
    repeated = newest.filter(pc.greater(newest["values_count_distinct"], 1))
    for item_id in repeated["item_id"].to_pylist():
        report.finding(DUPLICATE, "item_id", "").add(None, item_id, None)
    table = table.take(newest["place_max"]).combine_chunks()
    report.items = table.num_rows
    if not table.num_rows:
        return Catalogue(table.select(CATALOGUE.names), report=report)
    return Catalogue(
        table.select(CATALOGUE.names),
        table["in_stock"].chunk(0).to_numpy(zero_copy_only=False) if rules.in_stock else None,
        _categories(table["categories"].chunk(0)) if rules.category else None,
        report,
    )


def _categories(column: pa.ListArray) -> Categories:
    names = column.flatten().dictionary_encode()
    return Categories(column.offsets.to_numpy().astype(np.int64), names.indices.to_numpy())


class _Reader:
    def __init__(
        self,
        kinds: Mapping[str, Kind],
        sent_fields: Mapping[str, str | None],
        rules: Rules,
        usable: re.Pattern[str] | None,
        name: str,
    ) -> None:
        self._sent = {column: converter(kinds[column], declared) for column, declared in sent_fields.items()}
        self._wrong = {
            column: f"no {declared or kinds[column].value.removeprefix('an ').removeprefix('a ')}"
            for column, declared in sent_fields.items()
        }
        self._kinds, self._rules, self._usable = kinds, rules, usable
        self.report = CatalogueReport(name)

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Convert a batch to ``_ROWS``, without the rows that cannot be used."""
        ids = batch["item_id"].to_pylist()
        self._first, self._ids = self.report.rows + 1, ids
        self.report.rows += len(ids)
        self._usable_rows = [self._is_usable(row, item_id) for row, item_id in enumerate(ids)]
        self._good = list(self._usable_rows)
        fields = [
            self._converted(column, batch[column], convert, self._wrong[column])
            for column, convert in self._sent.items()
        ]
        objects = zip(*fields, strict=True) if fields else ((),) * len(ids)
        texts = [dumps(dict(zip(self._sent, values, strict=True))).decode() for values in objects]
        stocked, categories = self._stocked(batch), self._named_categories(batch)
        self.report.quarantined += sum(self._usable_rows) - sum(self._good)
        # Enough to tell rows with other values of an item apart, within this process.
        hashes = [hash((a, b, *c)) for a, b, c in zip(texts, stocked, categories, strict=True)]
        columns = [ids, texts, stocked, categories, hashes]
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, _ROWS, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=_ROWS).filter(pa.array(self._good, pa.bool_()))

    def _is_usable(self, row: int, item_id: str | None) -> bool:
        good = item_id is not None and 0 < len(item_id) <= MAX_STRING_CHARACTERS
        if good and (self._usable is None or self._usable.fullmatch(item_id or "")):
            return True
        allowed = f"1 to {MAX_STRING_CHARACTERS} characters"
        what = f"their ids need {allowed}"
        if self._usable:
            what = (
                "a Braze catalog takes ids of 1 to 250 letters, digits, _ and - only; replace other characters in "
                "every query that returns item ids, e.g. replace(sku, '.', '-')"
            )
        self.report.finding(BAD_ID, "item_id", what).add(self._first + row, item_id, None)
        return False

    def _converted(
        self, column: str, texts: pa.Array, convert: Callable[[str | None], Any], what: str
    ) -> list[Any]:
        """Convert the values of one column; a row whose value is wrong is marked as left out."""
        values: list[Any] = []
        for row, text in enumerate(texts.to_pylist()):
            try:
                values.append(convert(text))
            except ValueError:
                values.append(None)
                if self._usable_rows[row]:
                    self._good[row] = False
                    self.report.finding(BAD_VALUE, column, what).add(self._first + row, self._ids[row], text)
        return values

    def _stocked(self, batch: pa.RecordBatch) -> list[bool]:
        if not (column := self._rules.in_stock):
            return [True] * batch.num_rows
        what = "no boolean; recommendations.rules.in_stock needs a boolean column, e.g. stock > 0 AS in_stock"
        values = self._converted(column, batch[column], converter(self._kinds[column], "boolean"), what)
        # Where the warehouse does not say, nobody should be sent to an empty shelf.
        return [bool(value) for value in values]

    def _named_categories(self, batch: pa.RecordBatch) -> list[list[str]]:
        if not (column := self._rules.category):
            return [[]] * batch.num_rows
        kind = self._kinds[column]

        def names(text: str | None) -> list[str]:
            # As in the datasets of Amazon Personalize, an item with several categories has them joined with "|".
            found = (name for part in parts(text or "", kind) for name in str(part or "").split("|"))
            return list(dict.fromkeys(filter(None, map(str.strip, found))))

        values = self._converted(column, batch[column], names, "no text and no list of texts")
        return [value or [] for value in values]
