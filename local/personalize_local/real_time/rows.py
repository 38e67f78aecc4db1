"""Read the rows of datasets for one request: bulk files, streamed files, and the log.

Files with users are copied once, sorted by user, so that the rows of one user can be read alone.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.datasets.avro import DatasetSchema, parse_schema
from personalize_local.datasets.parquet import with_columns, without_repeats
from personalize_local.jobs.dataset_files import all_parts
from personalize_local.real_time.streams import PARTS, Streams, rows_as_table
from personalize_local.resources import ACTIVE, DATASET, Resource
from personalize_local.storage import Storage
from personalize_local.store import Store

# Row group size of the sorted copies.
_GROUP_ROWS = 32_768
# Tables of items and actions to cache.
_TABLES_KEPT = 8
# Files may be replaced while a request reads them.
_MOST_TRIES = 5

Result = TypeVar("Result")


class Rows:
    """Read the current rows of a group's datasets."""

    def __init__(self, store: Store, storage: Storage, streams: Streams) -> None:
        self._store = store
        self._storage = storage
        self._streams = streams
        self._lock = threading.Lock()
        self._sorted: dict[str, Path] = {}
        self._tables: OrderedDict[tuple[object, ...], pa.Table] = OrderedDict()

    def datasets(self, group_arn: str) -> dict[str, Resource]:
        """Return the ACTIVE datasets of a group by type."""
        found = self._store.select(DATASET.noun, parent_arn=group_arn, statuses=[ACTIVE])
        return {dataset.body["datasetType"]: dataset for dataset in found}

    def schema(self, dataset: Resource) -> DatasetSchema:
        """Return the columns of a dataset."""
        schema = self._store.get(dataset.body["schemaArn"])
        if schema is None:
            raise LookupError(f"the schema of {dataset.arn} is gone")
        return parse_schema(schema.body["schema"])

    def all(self, dataset: Resource) -> pa.Table:
        """Return all rows, the newest per id, of a dataset that fits into memory: items or actions."""
        return self._reading(dataset, self._all)

    def of_user(self, dataset: Resource, user_id: str) -> pa.Table:
        """Return the rows of one user, of a dataset with USER_ID."""
        return self._reading(dataset, lambda found: self._of_user(found, user_id))

    def has_streamed(self, dataset: Resource, user_id: str) -> bool:
        """Return whether a user has streamed rows."""
        return self._reading(dataset, lambda found: self._has_streamed(found, user_id))

    def _reading(self, dataset: Resource, read: Callable[[Resource], Result]) -> Result:
        """Read, and retry if a job has replaced the dataset's files."""
        for _ in range(_MOST_TRIES - 1):
            try:
                return read(dataset)
            except FileNotFoundError:
                dataset = self._store.get(dataset.arn) or dataset
        return read(dataset)

    def _all(self, dataset: Resource) -> pa.Table:
        schema = self.schema(dataset)
        parts = all_parts(dataset)
        key = (*parts, dataset.body["schemaArn"], self._streams.last_id(dataset))
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
                return self._tables[key]
        tables = [with_columns(pq.read_table(part), schema) for part in parts]
        table = self._joined(dataset, schema, tables, None)
        with self._lock:
            self._tables[key] = table
            while len(self._tables) > _TABLES_KEPT:
                self._tables.popitem(last=False)
        return table

    def _of_user(self, dataset: Resource, user_id: str) -> pa.Table:
        schema = self.schema(dataset)
        tables = [with_columns(self._part_of_user(part, user_id), schema) for part in all_parts(dataset)]
        return self._joined(dataset, schema, tables, user_id)

    def _has_streamed(self, dataset: Resource, user_id: str) -> bool:
        if self._streams.tail(dataset, user_id).rows:
            return True
        return any(self._part_of_user(part, user_id).num_rows for part in dataset.internal.get(PARTS, []))

    def _joined(
        self, dataset: Resource, schema: DatasetSchema, tables: list[pa.Table], key: str | None
    ) -> pa.Table:
        tail = rows_as_table(self._streams.tail(dataset, key).rows, schema)
        return without_repeats(pa.concat_tables([*tables, tail]), schema.dataset_type)

    def _part_of_user(self, part: str, user_id: str) -> pa.Table:
        return pq.read_table(self._sorted_copy(part), filters=pc.field("USER_ID") == user_id)

    def _sorted_copy(self, part: str) -> Path:
        with self._lock:
            if part not in self._sorted:
                self._drop_old_copies()
                path = self._storage.scratch / f"by-user-{uuid.uuid4().hex}.parquet"
                table = pq.read_table(part).sort_by("USER_ID")
                pq.write_table(table, path, compression="zstd", row_group_size=_GROUP_ROWS)
                self._sorted[part] = path
            return self._sorted[part]

    def forget(self) -> None:
        """Delete all sorted copies and cached tables; the next request makes them again."""
        with self._lock:
            for path in self._sorted.values():
                path.unlink(missing_ok=True)
            self._sorted.clear()
            self._tables.clear()

    def _drop_old_copies(self) -> None:
        """Delete the copies of files that no longer exist."""
        for part in [part for part in self._sorted if not Path(part).exists()]:
            self._sorted.pop(part).unlink(missing_ok=True)
