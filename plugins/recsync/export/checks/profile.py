"""Figures of the rows that are exported, gathered block by block in memory that does not grow with their number."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from recsync.export.checks.context import CheckContext
from recsync.export.checks.groups import IdFigures, id_figures
from recsync.export.checks.id_set import SeenIds
from recsync.export.checks.spool import HashSpool, Partition
from recsync.export.checks.summaries import ColumnSummary
from recsync.export.checks.volume import Volume
from recsync.program import DatasetType
from recsync.program.columns import Column, Role, own_id, subject_id
from recsync.storage.hashes import Hashes, column_hashes, numbers_of, row_hashes
from recsync.storage.splitmix import mixed

_MAX_EVENT_TYPES = 10_000
_SHOWN_EVENT_TYPES = 50
_OTHERS = "(others)"
# Any odd number: it makes the second sum of the digest independent of the first.
_SECOND = np.uint64(0xA0761D6478BD642F)
_MODULUS = 2**64


class Tally:
    """Everything that is counted about the exported rows."""

    def __init__(self, context: CheckContext, columns: tuple[Column, ...]) -> None:
        self._context = context
        self.dataset_type = context.dataset_type
        self._own_id = own_id(context.dataset_type)
        self.summaries = {column.name: ColumnSummary(column) for column in columns}
        self.rows = 0
        self.seen = SeenIds()
        self.volume = Volume()
        self._event_types: Counter[str] = Counter()
        self._sums = [0, 0]
        self.kept: dict[DatasetType, list[Hashes]] = {kind: [] for kind in context.kept_ids}
        self._users = HashSpool(context.work / "users.hashes")
        self._items = HashSpool(context.work / "items.hashes")
        self._rows = HashSpool(context.work / "rows.hashes")

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of one block, read with types."""
        if not batch.num_rows:
            return
        self.rows += batch.num_rows
        hashes = {
            name: column_hashes(values) for name, values in zip(self.summaries, batch.columns, strict=True)
        }
        for summary, values in zip(self.summaries.values(), batch.columns, strict=True):
            summary.add(values)
            self._column(summary.column, values)
        rows = row_hashes(list(hashes.values()))
        self._sums[0] += int(rows.sum())
        self._sums[1] += int(mixed(rows ^ _SECOND).sum())
        if self._own_id:
            self.seen.add(hashes[self._own_id])
        else:
            self._interactions(hashes["USER_ID"], hashes[subject_id(self.dataset_type)], rows)

    @property
    def digest(self) -> str:
        """Tell contents apart: the same rows in any order have the same digest."""
        return f"{self._sums[0] % _MODULUS:016x}{self._sums[1] % _MODULUS:016x}-{self.rows}"

    def users(self) -> IdFigures:
        """Count the users of interactions and their rows."""
        return id_figures(
            self._users.groups(),
            self._context.known.get(DatasetType.USERS),
            kept=self.kept.get(DatasetType.USERS),
        )

    def items(self) -> IdFigures:
        """Count the items of interactions and their rows."""
        return id_figures(
            self._items.groups(),
            self._context.known.get(DatasetType.ITEMS),
            self._context.known_items_before,
            kept=self.kept.get(DatasetType.ITEMS),
        )

    def duplicate_rows(self) -> int:
        """Count the rows that are the same as another, beyond the first of each."""
        return self.rows - sum(len(hashes) for hashes, _ in self._rows.groups())

    @property
    def event_type_names(self) -> int:
        """How many event types there are."""
        return len(self._event_types)

    def event_types(self) -> list[dict[str, Any]]:
        """Give the event types and their rows, largest first."""
        ordered = sorted(self._event_types.items(), key=lambda pair: (-pair[1], pair[0]))
        shown = [{"event_type": name, "rows": rows} for name, rows in ordered[:_SHOWN_EVENT_TYPES]]
        others = sum(rows for _, rows in ordered[_SHOWN_EVENT_TYPES:])
        return [*shown, {"event_type": _OTHERS, "rows": others}] if others else shown

    def _interactions(self, users: Hashes, items: Hashes, rows: Hashes) -> None:
        by_user = Partition.of(users)
        self._users.add(users, by_user)
        # Rows that are the same have the same user, so they fall into the same bucket.
        self._rows.add(rows, by_user)
        self._items.add(items, Partition.of(items))

    def _column(self, column: Column, values: pa.Array) -> None:
        if column.role is Role.TIMESTAMP and column.name == "TIMESTAMP":
            self.volume.add(numbers_of(values).astype(np.int64, copy=False))
        elif column.role is Role.EVENT_TYPE:
            self._count_events(values)

    def _count_events(self, values: pa.Array) -> None:
        if not len(values.dictionary):
            return
        indices = values.indices.drop_null().to_numpy()
        counts = np.bincount(indices, minlength=len(values.dictionary)).tolist()
        for name, rows in zip(values.dictionary.to_pylist(), counts, strict=True):
            full = len(self._event_types) >= _MAX_EVENT_TYPES and name not in self._event_types
            self._event_types[_OTHERS if full else name] += rows
