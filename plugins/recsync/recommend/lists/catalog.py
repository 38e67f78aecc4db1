"""Read and check the items that may be mailed from the rows of ``catalogue.sql``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from braze_client.payloads import (
    MAX_CATALOG_ARRAY_ELEMENTS,
    MAX_CATALOG_LEVELS,
    MAX_CATALOG_VALUE_CHARACTERS,
    MAX_STRING_CHARACTERS,
    dumps,
)
from recsync.program import Rules
from recsync.program.data import Checks
from recsync.program.recommendations import Limit, RuleColumn
from recsync.storage.hashes import POSITIONS_IN, Hashes, HashIndex, column_digest, string_hashes
from recsync.warehouse.column_types import Kind
from recsync.warehouse.values import converter, parts
from recsync.warehouse.values import moment as time_of

# Items named per finding; all are counted.
_NAMED_ITEMS = 1_000
_SHOWN_CHARACTERS = 100

BAD_ID, BAD_VALUE, DUPLICATE = "id", "value", "duplicate_id"
_TEXTS = {
    BAD_ID: "{items} item(s) are left out: {what}.",
    BAD_VALUE: "{items} item(s) are left out: {column} is {what}.",
    DUPLICATE: "{items} item(s) come more than once with different values; the last row of each counts.",
}


@dataclass
class Finding:
    """One rule that items break in one column.

    :param what: the problem, e.g. ``no time``.
    :param named: row number, id and value of the first items.
    """

    rule: str
    column: str
    what: str
    items: int = 0
    named: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: int | None, item_id: str | None, value: str | None) -> None:
        """Count one item."""
        self.items += 1
        if len(self.named) < _NAMED_ITEMS:
            shown = None if value is None else value[:_SHOWN_CHARACTERS]
            self.named.append({"row": row, "item_id": item_id, "value": shown})

    @property
    def text(self) -> str:
        """Describe the problem, without ids and values."""
        return _TEXTS[self.rule].format(items=self.items, column=self.column, what=self.what)


@dataclass
class CatalogReport:
    """The findings about one catalog.

    :param rows: rows that the query returned.
    :param items: items that may be mailed.
    :param quarantined: rows left out because of a bad value.
    """

    sql: str
    rows: int = 0
    items: int = 0
    quarantined: int = 0
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)

    def finding(self, rule: str, column: str, what: str) -> Finding:
        """Return the finding about a rule and a column."""
        return self.findings.setdefault((rule, column, what), Finding(rule, column, what))

    def count(self, rule: str) -> int:
        """Count the items that break a rule."""
        return sum(one.items for one in self.findings.values() if one.rule == rule)

    @property
    def texts(self) -> Sequence[str]:
        """Describe all findings, without ids and values."""
        return [f"{self.sql}: {one.text}" for one in self.findings.values()]

    def stop_message(self, checks: Checks) -> str | None:
        """Return why this catalog cannot be used; None when it can."""
        found = " ".join(self.texts)
        if not self.items:
            if not self.rows:
                return (
                    f"{self.sql} returns no row, so there is no item that can be mailed. Correct the query."
                )
            return f"{self.sql} returns {self.rows} row(s) and no item that can be mailed. {found}"
        share = self.quarantined / self.rows
        few = self.quarantined <= checks.tolerated_rows
        if checks.enabled and share > checks.max_quarantined_share and not few:
            return (
                f"{self.quarantined} of {self.rows} rows ({share:.1%}) would be left out of the catalog; at most "
                f"{checks.max_quarantined_share:.1%} may (checks.max_quarantined_share). {found}"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON document."""
        return {
            "sql": self.sql,
            "rows": self.rows,
            "items": self.items,
            "quarantined": self.quarantined,
            "findings": [
                {name: getattr(one, name) for name in ("rule", "column", "items", "text", "named")}
                for one in self.findings.values()
            ],
        }


CATALOG = pa.schema([("item_id", pa.string()), ("fields", pa.string())])
"""The published catalog; its items are sorted by id, and lists hold their positions in it."""
_ROWS = pa.schema(
    [
        *CATALOG,
        ("flags", pa.list_(pa.bool_())),
        ("values", pa.list_(pa.string())),
        ("group", pa.string()),
        ("digest", pa.int64()),
    ]
)
# What a wrong value is not, for types with limits that a message should name.
_WRONG = {
    "array": f"no array of at most {MAX_CATALOG_ARRAY_ELEMENTS} texts and {MAX_CATALOG_VALUE_CHARACTERS:,} characters",
    "object": f"no JSON object of at most {MAX_CATALOG_LEVELS} levels and {MAX_CATALOG_VALUE_CHARACTERS:,} characters "
    "with keys without . and $",
}


def positions_in(catalog: pa.Table) -> dict[str, str]:
    """Return the metadata of a file with positions in a catalog: in another one they would be other items.

    :param catalog: ``CATALOG``.
    """
    return {POSITIONS_IN: column_digest(catalog["item_id"].combine_chunks())}


# Between the number of a column and a value of it.
_OF = "\0"


@dataclass(frozen=True)
class ItemValues:
    """The values of items that ``rules.limits`` counts, by position, as ragged rows.

    :param starts: where the row of each item begins in ``codes``; one more than there are items.
    :param codes: a number per column and value; each at most once in a row.
    :param columns: by code, the number of its limit in ``rules.limits``.
    :param most: by code, how many items with it a list may have.
    """

    starts: NDArray[np.int64]
    codes: NDArray[np.int32]
    columns: NDArray[np.int8]
    most: NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.ListArray, limits: Sequence[Limit]) -> ItemValues:
        """Number the values of ``_ROWS``."""
        names = column.flatten().dictionary_encode()
        columns = np.array([int(name.partition(_OF)[0]) for name in names.dictionary.to_pylist()], np.int8)
        most = np.array([limit.most for limit in limits], np.int64)[columns]
        return cls(column.offsets.to_numpy().astype(np.int64), names.indices.to_numpy(), columns, most)


@dataclass(frozen=True)
class ItemCatalog:
    """Items by position: everywhere else a list holds positions in these columns.

    :param table: ``item_id`` (sorted, each once) and ``fields`` (a JSON object), as ``CATALOG``.
    :param flags: by member of ``Rules``, then by position.
    :param values: None when no rule counts values.
    :param groups: number of the value that ``rules.diversity`` looks at, -1 without one; None without the rule.
    :param report: the findings about the rows.
    """

    table: pa.Table
    flags: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    values: ItemValues | None = None
    groups: NDArray[np.int32] | None = None
    report: CatalogReport = field(default_factory=lambda: CatalogReport(""))

    @property
    def item_ids(self) -> pa.StringArray:
        """Item ids by position."""
        return self.table["item_id"].chunk(0)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def positions(self, item_ids: pa.Array) -> NDArray[np.int32]:
        """Find items by id; -1 for an unknown one."""
        return self.positions_of(string_hashes(item_ids))

    def positions_of(self, hashes: Hashes) -> NDArray[np.int32]:
        """Find items by the hash of their id (``string_hashes``); -1 for an unknown one."""
        return self._index.find(hashes)

    @cached_property
    def _index(self) -> HashIndex:
        return HashIndex(string_hashes(self.item_ids))


def read_catalog(
    batches: Iterable[pa.RecordBatch],
    kinds: Mapping[str, Kind],
    sent_fields: Mapping[str, str | None],
    rules: Rules,
    *,
    usable: re.Pattern[str] | None = None,
    moment: datetime | None = None,
    name: str,
) -> ItemCatalog:
    """Read the rows of ``catalogue.sql``; of two rows with one id the last counts.

    Rows with a bad value are rejected; the report counts and names them.

    :param batches: texts of ``item_id``, the sent fields and the columns of the rules.
    :param kinds: the columns' kinds.
    :param sent_fields: the columns that reach Braze, with their declared types; None: as the warehouse has them.
    :param usable: ids that the Braze catalog can hold; None: all that an attribute can hold.
    :param moment: the time of the run, which ``rules.new_items_share`` counts back from.
    :param name: the SQL file, for errors.
    """
    reader = _Reader(kinds, sent_fields, rules, usable, moment, name)
    table = pa.Table.from_batches(map(reader.batch, batches), schema=_ROWS)
    numbered = table.append_column("place", pa.array(np.arange(table.num_rows)))
    newest = (
        numbered.group_by("item_id", use_threads=False)
        .aggregate([("place", "max"), ("digest", "count_distinct")])
        .sort_by("item_id")
    )
    report = reader.report
    repeated = newest.filter(pc.greater(newest["digest_count_distinct"], 1))
    for item_id in repeated["item_id"].to_pylist():
        report.finding(DUPLICATE, "item_id", "").add(None, item_id, None)
    table = table.take(newest["place_max"]).combine_chunks()
    report.items = table.num_rows
    if not table.num_rows:
        return ItemCatalog(table.select(CATALOG.names), report=report)
    flags = table["flags"].chunk(0).flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, -1)
    by_rule = np.ascontiguousarray(flags.T)
    groups = table["group"].chunk(0).dictionary_encode().indices.fill_null(-1).to_numpy()
    return ItemCatalog(
        table.select(CATALOG.names),
        dict(zip(reader.flags, by_rule, strict=True)),
        ItemValues.of(table["values"].chunk(0), rules.limits) if rules.limits else None,
        groups if rules.diversity else None,
        report,
    )


class _Reader:
    def __init__(
        self,
        kinds: Mapping[str, Kind],
        sent_fields: Mapping[str, str | None],
        rules: Rules,
        usable: re.Pattern[str] | None,
        moment: datetime | None,
        name: str,
    ) -> None:
        self._sent = {column: converter(kinds[column], declared) for column, declared in sent_fields.items()}
        self._wrong = {
            column: _WRONG.get(declared or "")
            or f"no {declared or kinds[column].value.removeprefix('an ').removeprefix('a ')}"
            for column, declared in sent_fields.items()
        }
        self.flags = {rule.rule: rule for rule in rules.columns if rule.kind in {"flag", "time"}}
        self._group = rules.diversity.by if rules.diversity else None
        new = rules.new_items_share
        self._new_since = moment - timedelta(days=new.days) if moment and new else None
        self._valued = [limit.column for limit in rules.limits]
        self._kinds, self._usable = kinds, usable
        self.report = CatalogReport(name)

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
        objects = _rows(fields, len(ids))
        texts = [dumps(dict(zip(self._sent, values, strict=True))).decode() for values in objects]
        flags = _rows([self._flags(batch, rule) for rule in self.flags.values()], len(ids))
        named = _rows([self._values(batch, *each) for each in enumerate(self._valued)], len(ids))
        values = [[name for names in row for name in names] for row in named]
        groups = [None] * len(ids) if self._group is None else batch[self._group].to_pylist()
        groups = [(group and group.strip()) or None for group in groups]
        self.report.quarantined += sum(self._usable_rows) - sum(self._good)
        # Enough to tell rows with other values of an item apart, within this process.
        digests = [hash((a, *b, *c, d)) for a, b, c, d in zip(texts, flags, values, groups, strict=True)]
        columns = [ids, texts, flags, values, groups, digests]
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, _ROWS, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=_ROWS).filter(pa.array(self._good, pa.bool_()))

    def _is_usable(self, row: int, item_id: str | None) -> bool:
        good = item_id is not None and 0 < len(item_id) <= MAX_STRING_CHARACTERS
        if good and (self._usable is None or self._usable.fullmatch(item_id or "")):
            return True
        what = f"their ids need 1 to {MAX_STRING_CHARACTERS} characters"
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
        """Convert the values of one column; a row with a bad value is marked as left out."""
        values: list[Any] = []
        # Few columns have another value for every item.
        convert = cache(convert)
        for row, text in enumerate(texts.to_pylist()):
            try:
                values.append(convert(text))
            except ValueError:
                values.append(None)
                if self._usable_rows[row]:
                    self._good[row] = False
                    self.report.finding(BAD_VALUE, column, what).add(self._first + row, self._ids[row], text)
        return values

    def _flags(self, batch: pa.RecordBatch, rule: RuleColumn) -> list[bool]:
        convert: Callable[[str | None], Any] = self._is_new
        what = f"no time; {rule.path} needs a time or a date"
        if rule.kind == "flag":
            convert = converter(self._kinds[rule.column], "boolean")
            what = f"no boolean; {rule.path} needs a boolean column, e.g. stock > 0 AS {rule.column}"
        # NULL counts as false: an item of unknown stock is not mailed.
        return [bool(value) for value in self._converted(rule.column, batch[rule.column], convert, what)]

    def _is_new(self, text: str | None) -> bool:
        return bool(text) and self._new_since is not None and time_of(text or "") >= self._new_since

    def _values(self, batch: pa.RecordBatch, number: int, rule: RuleColumn) -> list[list[str]]:
        kind = self._kinds[rule.column]

        def split(text: str) -> Iterable[str]:
            # As in the datasets of Amazon Personalize, several values are joined with "|".
            return (name for part in parts(text, kind) for name in str(part or "").split("|"))

        def names(text: str | None) -> list[str]:
            found = [text or ""] if rule.kind == "value" else split(text or "")
            return [f"{number}{_OF}{name}" for name in dict.fromkeys(filter(None, map(str.strip, found)))]

        values = self._converted(rule.column, batch[rule.column], names, "no text and no list of texts")
        return [value or [] for value in values]


def _rows(columns: Sequence[Sequence[Any]], count: int) -> list[tuple[Any, ...]]:
    """Turn columns into rows, of which there are some without columns too."""
    return list(zip(*columns, strict=True)) if columns else [()] * count
