"""Profile an export block by block in constant memory: columns, rows per hour, ids, event types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsync.export.checks.report import CheckContext
from recsync.export.checks.spool import (
    MISSING_WORDS,
    NULL_WORD_HASHES,
    Buckets,
    HashSpool,
    IdFigures,
    id_figures,
)
from recsync.program import DatasetType
from recsync.program.avro import AvroField, Role, own_id, subject_id
from recsync.storage.hash_files import HashFile, IdSet
from recsync.storage.hashes import among, column_hashes, mixed, numbers_of, present_numbers, row_hashes
from recsync.warehouse.values import MAX_TEXTUAL_CHARACTERS

# Far more than a category should have; a column with more is not counted further.
MAX_COUNTED_VALUES = 20_000
_SHOWN_CHARACTERS = 100
_HOUR_SECONDS, _DAY_SECONDS, _WEEK_SECONDS = 3_600, 86_400, 604_800
# 1970-01-05 was the first Monday.
_MONDAY_SECONDS = 4 * _DAY_SECONDS
MAX_BUCKETS = 400
# Hours are counted in an array up to this length (114 years, 8 MB), outliers beyond it in a Counter.
_MAX_SPAN_HOURS = 1_000_000
_MAX_EVENT_TYPES = 10_000
_SHOWN_EVENT_TYPES = 50
_OTHERS = "(others)"
# Each holds about 32,000 hashes.
_COUNTING_THREADS = 2
# Any odd number; it makes the second sum of the digest independent of the first.
_SECOND = np.uint64(0xA0761D6478BD642F)
_MODULUS = 2**64

NULL_WORDS, CATEGORY_FORM = "null_words", "category_form"
# Arrays and objects as PostgreSQL, Python and JSON write them.
_BRACKETS = {"{": "}", "[": "]"}


def odd_category(value: str) -> str | None:
    """Return the rule that a value of a categorical field breaks; None when it looks right."""
    parts = [part.strip() for part in value.split("|")]
    if any(part.casefold() in MISSING_WORDS for part in parts):
        return NULL_WORDS
    text = value.strip()
    if text and _BRACKETS.get(text[0]) == text[-1]:
        return CATEGORY_FORM
    return CATEGORY_FORM if len(parts) > 1 and not all(parts) else None


class ColumnSummary:
    """One column's nulls, distinct values, smallest and largest value."""

    def __init__(self, column: AvroField) -> None:
        self.column = column
        self.nulls = 0
        self.too_long = 0
        self._smallest: Any = None
        self._largest: Any = None
        self._values: set[str] = set()
        self._parts: set[str] = set()
        self._counted = column.role is Role.CATEGORY or column.role is Role.EVENT_TYPE
        self._odd_values: dict[str, str] = {}
        # Rule -> number of rows that break it.
        self.odd = Counter[str]()

    def add(self, values: pa.Array) -> None:
        """Add the values of one block."""
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
            self.too_long += sum(
                text is not None and len(text) > MAX_TEXTUAL_CHARACTERS for text in values.to_pylist()
            )

    @property
    def distinct(self) -> int | None:
        """Number of values, of a category after its split; None when not counted or too many."""
        return len(self._parts) if self._counted else None

    @property
    def many_values(self) -> bool:
        """Whether a category has too many values to count."""
        return self.column.role is Role.CATEGORY and not self._counted

    def to_json(self, distinct: int | None) -> dict[str, Any]:
        """Return the report's entry.

        :param distinct: the number of values when known from elsewhere.
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
        numbers = present_numbers(values)
        self._extend(np.min(numbers).item(), np.max(numbers).item())

    def _dictionary(self, values: pa.Array) -> None:
        texts = values.to_pylist()
        self._extend(min(texts), max(texts))
        if not self._counted:
            return
        for value in texts:
            if value not in self._values:
                self._values.add(value)
                if rule := odd_category(value):
                    self._odd_values[value] = rule
                self._parts.update(value.split("|") if self.column.role is Role.CATEGORY else (value,))
        if len(self._parts) > MAX_COUNTED_VALUES:
            self._counted = False
            self._values, self._parts = set(), set()

    def _count_odd(self, values: pa.Array) -> None:
        rows = np.bincount(present_numbers(values.indices), minlength=len(values.dictionary))
        for value, count in zip(values.dictionary.to_pylist(), rows.tolist(), strict=True):
            if rule := self._odd_values.get(value):
                self.odd[rule] += count

    def _extend(self, smallest: Any, largest: Any) -> None:
        self._smallest = smallest if self._smallest is None else min(smallest, self._smallest)
        self._largest = largest if self._largest is None else max(largest, self._largest)


class Volume:
    """Number of rows per hour, and the times of the oldest and newest row."""

    def __init__(self) -> None:
        self._first_hour = 0
        self._rows = np.zeros(0, dtype=np.int64)
        self._elsewhere: Counter[int] = Counter()
        self.oldest: int | None = None
        self.newest: int | None = None

    def add(self, times: NDArray[np.int64]) -> None:
        """Add the epoch seconds of some rows."""
        first, last = int(times.min()), int(times.max())
        self.oldest = first if self.oldest is None else min(first, self.oldest)
        self.newest = last if self.newest is None else max(last, self.newest)
        hours = times // _HOUR_SECONDS
        if self._make_room(first // _HOUR_SECONDS, last // _HOUR_SECONDS + 1):
            counts = np.bincount(hours - first // _HOUR_SECONDS)
            begin = first // _HOUR_SECONDS - self._first_hour
            self._rows[begin : begin + len(counts)] += counts
        else:
            self._elsewhere.update(hours.tolist())

    def to_json(self) -> dict[str, Any]:
        """Return at most about 400 buckets: of hours, else days, else weeks, else several weeks."""
        if self.oldest is None or self.newest is None:
            return {"bucket_seconds": _HOUR_SECONDS, "buckets": []}
        span = self.newest - self.oldest
        sizes = (_HOUR_SECONDS, _DAY_SECONDS, _WEEK_SECONDS)
        size = next((s for s in sizes if span // s < MAX_BUCKETS), None)
        if size is None:
            size = _WEEK_SECONDS * (span // (_WEEK_SECONDS * MAX_BUCKETS) + 1)
        shift = _MONDAY_SECONDS if size >= _WEEK_SECONDS else 0
        buckets: Counter[int] = Counter()
        for hour, rows in self._hours():
            start = hour * _HOUR_SECONDS - shift
            buckets[start - start % size + shift] += rows
        return {
            "bucket_seconds": size,
            "buckets": [{"start": start, "rows": buckets[start]} for start in sorted(buckets)],
        }

    def _make_room(self, first: int, end: int) -> bool:
        """Extend the array to a range of hours; False when it would be too long."""
        if not len(self._rows):
            self._first_hour = first
        begin = min(first, self._first_hour)
        stop = max(end, self._first_hour + len(self._rows))
        if stop - begin > _MAX_SPAN_HOURS:
            return False
        if stop - begin > len(self._rows):
            before = np.zeros(self._first_hour - begin, dtype=np.int64)
            after = np.zeros(stop - self._first_hour - len(self._rows), dtype=np.int64)
            self._rows = np.concatenate([before, self._rows, after])
            self._first_hour = begin
        return True

    def _hours(self) -> Iterator[tuple[int, int]]:
        places = np.flatnonzero(self._rows)
        yield from zip((places + self._first_hour).tolist(), self._rows[places].tolist(), strict=True)
        yield from self._elsewhere.items()


@dataclass(frozen=True)
class ExportFigures:
    """Final counts of the exported rows.

    :param users: None for users and items datasets, as ``items``.
    :param own_ids: number of ids of a users, items or actions dataset.
    :param null_ids: column -> rows with an id such as ``NULL`` or ``None``.
    """

    rows: int
    summaries: dict[str, ColumnSummary]
    users: IdFigures | None
    items: IdFigures | None
    duplicate_rows: int
    event_type_names: int
    event_types: list[dict[str, Any]]
    volume: dict[str, Any]
    oldest: int | None
    newest: int | None
    own_ids: int
    null_ids: dict[str, int]

    @property
    def new_items_share(self) -> float | None:
        """Share of the items that are not in the last FULL."""
        if self.items is None or self.items.new is None or not self.items.distinct:
            return None
        return self.items.new / self.items.distinct

    def to_json(self) -> dict[str, Any]:
        """Return the figures of the report's JSON document."""
        users = self.users.distinct if self.users else None
        items = self.items.distinct if self.items else None
        known = {"USER_ID": users, "ITEM_ID": items} if self.users else {}
        return {
            "columns": [
                summary.to_json(known.get(name, self._own(name))) for name, summary in self.summaries.items()
            ],
            "volume": self.volume,
            "event_types": self.event_types,
            "history": self.users.history if self.users else [],
            "figures": {
                "users": users if self.users else self._own("USER_ID"),
                "items": items if self.items else self._own("ITEM_ID"),
                "users_with_two_interactions": self.users.with_two if self.users else None,
                "duplicate_rows": self.duplicate_rows if self.users else None,
                "oldest": self.oldest,
                "newest": self.newest,
                "new_items_share": self.new_items_share,
            },
        }

    def _own(self, name: str) -> int | None:
        """Return the number of a users, items or actions dataset's ids; None for other datasets."""
        first = {"USER_ID", "ITEM_ID", "ACTION_ID"} & self.summaries.keys()
        return self.own_ids if self.users is None and name in first and len(first) == 1 else None


class Profile:
    """Running counts of the exported rows."""

    def __init__(self, context: CheckContext, columns: tuple[AvroField, ...]) -> None:
        self._context = context
        self._own_id = own_id(context.dataset_type)
        self.summaries = {column.name: ColumnSummary(column) for column in columns}
        self.rows = 0
        self.own_ids = IdSet(context.work)
        self._null_ids = 0
        self._volume = Volume()
        self._event_types: Counter[str] = Counter()
        self._sums = [0, 0]
        self.kept = {kind: context.work / f"{kind.folder}.kept" for kind in context.kept_ids}
        self._users = HashSpool(context.work / "users.hashes")
        self._items = HashSpool(context.work / "items.hashes")
        self._rows = HashSpool(context.work / "rows.hashes")

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the rows of one block, read with types."""
        if not batch.num_rows:
            return
        self.rows += batch.num_rows
        hashes = {
            name: column_hashes(values) for name, values in zip(self.summaries, batch.columns, strict=True)
        }
        for summary, values in zip(self.summaries.values(), batch.columns, strict=True):
            summary.add(values)
            if summary.column.role is Role.TIMESTAMP and summary.column.name == "TIMESTAMP":
                self._volume.add(numbers_of(values).astype(np.int64, copy=False))
            elif summary.column.role is Role.EVENT_TYPE:
                self._count_events(values)
        rows = row_hashes(list(hashes.values()))
        self._sums[0] += int(rows.sum())
        self._sums[1] += int(mixed(rows ^ _SECOND).sum())
        if self._own_id:
            own = hashes[self._own_id]
            self.own_ids.add(own)
            self._null_ids += int(among(NULL_WORD_HASHES, own).sum())
        else:
            by_user, items = Buckets.of(hashes["USER_ID"]), hashes[subject_id(self._context.dataset_type)]
            self._users.add(hashes["USER_ID"], by_user)
            # Equal rows have the same user, so they are in the same bucket.
            self._rows.add(rows, by_user)
            self._items.add(items, Buckets.of(items))

    @property
    def digest(self) -> str:
        """Digest of the rows; the same in any order of them."""
        return f"{self._sums[0] % _MODULUS:016x}{self._sums[1] % _MODULUS:016x}-{self.rows}"

    def finish(self) -> ExportFigures:
        """Count ids and equal rows, after the last block."""
        users = items = None
        duplicate_rows, null_ids = 0, dict[str, int]()
        if self._context.dataset_type is DatasetType.INTERACTIONS:
            # numpy sorts without the interpreter's lock.
            with ThreadPoolExecutor(_COUNTING_THREADS, thread_name_prefix="count") as threads:
                counted_users = threads.submit(self._count, self._users, DatasetType.USERS)
                distinct_rows = threads.submit(lambda: sum(len(hashes) for hashes, _ in self._rows.groups()))
                before = self._context.known_items_before
                counted_items = threads.submit(self._count, self._items, DatasetType.ITEMS, before)
            users, items = counted_users.result(), counted_items.result()
            duplicate_rows = self.rows - distinct_rows.result()
            null_ids = {"USER_ID": users.null_rows, "ITEM_ID": items.null_rows}
        elif self._own_id:
            null_ids = {self._own_id: self._null_ids}
        ordered = sorted(self._event_types.items(), key=lambda pair: (-pair[1], pair[0]))
        shown, others = ordered[:_SHOWN_EVENT_TYPES], sum(rows for _, rows in ordered[_SHOWN_EVENT_TYPES:])
        if others:
            shown.append((_OTHERS, others))
        return ExportFigures(
            rows=self.rows,
            summaries=self.summaries,
            users=users,
            items=items,
            duplicate_rows=duplicate_rows,
            event_type_names=len(self._event_types),
            event_types=[{"event_type": name, "rows": rows} for name, rows in shown],
            volume=self._volume.to_json(),
            oldest=self._volume.oldest,
            newest=self._volume.newest,
            own_ids=self.own_ids.count,
            null_ids=null_ids,
        )

    def _count(self, spool: HashSpool, kind: DatasetType, before: HashFile | None = None) -> IdFigures:
        return id_figures(spool.groups(), self._context.known.get(kind), before, kept=self.kept.get(kind))

    def _count_events(self, values: pa.Array) -> None:
        if not len(values.dictionary):
            return
        indices = present_numbers(values.indices)
        counts = np.bincount(indices, minlength=len(values.dictionary)).tolist()
        for name, rows in zip(values.dictionary.to_pylist(), counts, strict=True):
            full = len(self._event_types) >= _MAX_EVENT_TYPES and name not in self._event_types
            self._event_types[_OTHERS if full else name] += rows
