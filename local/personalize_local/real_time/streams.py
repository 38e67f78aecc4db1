"""Move streamed rows from the log into a few Parquet files per dataset.

`dataset.internal["put_parts"]` names the files, and `["put_log_id"]` the last row of the log in them. Both change in
one transaction of the store, so a kill neither loses nor duplicates a row.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from personalize_local.datasets.avro import DatasetSchema, parse_schema
from personalize_local.datasets.csv_rows import ARROW_TYPES
from personalize_local.datasets.parquet import merges_on_import, with_columns, without_repeats, write_rows
from personalize_local.real_time.log import Cells, Log, StreamedRow, Tail
from personalize_local.resources import DATASET, Resource
from personalize_local.storage import Storage
from personalize_local.store import Store

PARTS = "put_parts"
_MARK = "put_log_id"
# A file grows by rewriting up to this size; then a new one begins.
_FULL_PART_ROWS = 1_000_000
# Move the log into a file at this size, even before the next job.
_FULL_LOG_ROWS = 100_000
# Rows per step, which bounds memory.
_STEP_ROWS = 200_000


class Streams:
    """Store rows durably, and move them into Parquet files before a job reads the datasets."""

    def __init__(self, store: Store, storage: Storage) -> None:
        self._store = store
        self._storage = storage
        self._log = Log(storage.root / "streams.sqlite")
        self._moving = threading.Lock()
        self._sizes = self._log.sizes()
        self._closed = False

    @property
    def root(self) -> Path:
        """Return the server's data folder."""
        return self._storage.root

    def close(self) -> None:
        """Close the log after a running move."""
        with self._moving:
            self._closed = True
            self._log.close()

    def put(self, dataset: Resource, rows: list[StreamedRow]) -> None:
        """Store rows durably: a kill after the return does not lose them."""
        self._log.append(dataset.sequence, rows)
        size = self._sizes.get(dataset.sequence, 0) + len(rows)
        self._sizes[dataset.sequence] = size
        if size >= _FULL_LOG_ROWS:
            self._sizes[dataset.sequence] = 0
            threading.Thread(target=self.move, name="streams", daemon=True).start()

    def count_bytes(self, amount: int) -> None:
        """Add the size of an accepted call to the meter."""
        self._log.count_bytes(amount)

    def received_bytes(self) -> int:
        """Return the size of all accepted calls."""
        return self._log.received_bytes()

    def tail(self, dataset: Resource, key: str | None = None) -> Tail:
        """Return the rows that are not in the files of this version of the dataset."""
        return self._log.read(dataset.sequence, dataset.internal.get(_MARK, 0), key)

    def last_id(self, dataset: Resource) -> int:
        """Return the number of the dataset's newest row in the log."""
        return self._log.last_id(dataset.sequence)

    def erase(self, datasets: Sequence[int], user_ids: Sequence[str]) -> None:
        """Delete users' rows from the log, and all rows that are already in files."""
        with self._moving:
            if self._closed:
                return
            for dataset in self._store.select(DATASET.noun):
                self._log.drop(dataset.sequence, dataset.internal.get(_MARK, 0))
            self._log.erase(datasets, user_ids)
            self._sizes = self._log.sizes()

    def move(self) -> None:
        """Move all rows of the log into files."""
        with self._moving:
            if self._closed:
                return
            datasets = {dataset.sequence: dataset.arn for dataset in self._store.select(DATASET.noun)}
            for sequence in self._log.sizes():
                if sequence in datasets:
                    while self._move_step(datasets[sequence]):
                        pass
                else:
                    self._log.forget(sequence)
            self._sizes = {}

    def _move_step(self, arn: str) -> bool:
        """Move some rows of one dataset, and return whether there may be more."""
        dataset = self._store.get(arn)
        if dataset is None:
            return False
        mark = dataset.internal.get(_MARK, 0)
        # Rows are deleted one move later, because a reader may still use the previous mark.
        self._log.drop(dataset.sequence, mark)
        tail = self._log.read(dataset.sequence, mark, most=_STEP_ROWS)
        if not tail.rows:
            return False
        schema = _schema_of(self._store, dataset)
        grown = _growing_part(dataset)
        table = rows_as_table(tail.rows, schema)
        if grown is not None:
            table = pa.concat_tables([with_columns(pq.read_table(grown), schema), table])
        path = self._storage.scratch / f"{uuid.uuid4().hex}.parquet"
        write_rows(without_repeats(table, schema.dataset_type), str(path))
        self._take_over(dataset, path, grown, tail.last_id)
        return True

    def _take_over(self, before: Resource, path: Path, grown: str | None, last_id: int) -> None:
        """Add a file to the dataset; if the dataset has changed meanwhile, delete it and retry later."""
        with self._store.transaction():
            dataset = self._store.get(before.arn)
            parts = list((dataset.internal if dataset else {}).get(PARTS, []))
            unchanged = dataset is not None and dataset.body["schemaArn"] == before.body["schemaArn"]
            if dataset is None or not unchanged or (grown is not None and grown not in parts):
                path.unlink()
                return
            # Move it into the datasets' folder last, where unreferenced files are garbage-collected.
            target = self._storage.new_dataset_file()
            path.rename(target)
            dataset.internal[PARTS] = [*(part for part in parts if part != grown), target]
            dataset.internal[_MARK] = last_id
            self._store.save(dataset)


def rows_as_table(rows: list[Cells], schema: DatasetSchema) -> pa.Table:
    """Return rows with the columns of a schema; missing cells are null."""
    return pa.table(
        {
            field.name: pa.array([row.get(field.name) for row in rows], ARROW_TYPES[field.type])
            for field in schema.fields
        }
    )


def _schema_of(store: Store, dataset: Resource) -> DatasetSchema:
    schema = store.get(dataset.body["schemaArn"])
    if schema is None:
        raise LookupError(f"the schema of {dataset.arn} is gone")
    return parse_schema(schema.body["schema"])


def _growing_part(dataset: Resource) -> str | None:
    """Return the file to which new rows can be added."""
    parts = dataset.internal.get(PARTS, [])
    if not parts or pq.read_metadata(parts[-1]).num_rows >= _FULL_PART_ROWS:
        return None
    newest_import = max((_age(part) for part in dataset.internal["parts"]), default=0)
    # The newer file's row of an id wins, so rewriting must not make old rows newer than an import.
    if merges_on_import(dataset.body["datasetType"]) and _age(parts[-1]) < newest_import:
        return None
    return str(parts[-1])


def _age(part: str) -> int:
    return Path(part).stat().st_mtime_ns
