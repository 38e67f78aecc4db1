"""Keep the rows of a dataset as Parquet files, without repeated rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.datasets.avro import DatasetSchema, parse_schema
from personalize_local.datasets.csv_rows import ARROW_TYPES

# Id columns: a later row replaces the earlier row with the same id.
_KEYS = {"ITEMS": "ITEM_ID", "USERS": "USER_ID", "ACTIONS": "ACTION_ID"}


@dataclass(frozen=True)
class DatasetParts:
    """The files of one dataset and its schema's text, for a worker process to read."""

    parts: tuple[str, ...]
    schema_text: str

    @property
    def schema(self) -> DatasetSchema:
        """Return the columns of the dataset."""
        return parse_schema(self.schema_text)


def merges_on_import(dataset_type: str) -> bool:
    """Return whether an INCREMENTAL import rewrites the dataset instead of adding a file."""
    return dataset_type in _KEYS


def write_rows(table: pa.Table, path: str) -> None:
    """Write rows to a new file."""
    pq.write_table(table, path, compression="zstd")


def read_parts(parts: Sequence[str], dataset_type: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of all files of a dataset, without repeated rows."""
    tables = [pq.read_table(part) for part in parts]
    # Bulk files have no repeated rows; a file of streamed items or users may repeat an id.
    whole = len(tables) == 1 and dataset_type not in _KEYS
    table = tables[0] if whole else without_repeats(pa.concat_tables(tables), dataset_type)
    return table if columns is None else table.select(list(columns))


def without_repeats(table: pa.Table, dataset_type: str) -> pa.Table:
    """Drop duplicate rows; for datasets with ids, keep only the last row of each id."""
    key = _KEYS.get(dataset_type)
    if key is None:
        return table.group_by(table.column_names, use_threads=False).aggregate([]).select(table.column_names)
    numbered = pa.table({"key": table[key], "row": np.arange(table.num_rows)})
    last = numbered.group_by("key", use_threads=False).aggregate([("row", "max")])["row_max"]
    return table.take(last.take(pc.sort_indices(last)))


def rewrite_part(part: str, path: str, change: Callable[[pa.Table], pa.Table]) -> int:
    """Write the changed rows of `part` to `path`, and return the number of removed rows."""
    table = pq.read_table(part)
    changed = change(table)
    write_rows(changed, path)
    # Keep the file's age, which decides which of two rows with the same id is newer.
    age = Path(part).stat()
    os.utime(path, ns=(age.st_atime_ns, age.st_mtime_ns))
    return int(table.num_rows - changed.num_rows)


def with_columns(table: pa.Table, schema: DatasetSchema) -> pa.Table:
    """Return the rows with the columns of a schema; missing columns are null."""
    columns = {}
    for field in schema.fields:
        if field.name in table.column_names:
            columns[field.name] = table[field.name]
        else:
            columns[field.name] = pa.nulls(table.num_rows, ARROW_TYPES[field.type])
    return pa.table(columns)


def empty_rows(schema: DatasetSchema) -> pa.Table:
    """Return the columns of a schema without any rows."""
    return with_columns(pa.table({}), schema)


def without_users(table: pa.Table, user_ids: pa.Array) -> pa.Table:
    """Return the rows of all other users."""
    return table.filter(pc.invert(pc.is_in(table["USER_ID"], value_set=user_ids)))
