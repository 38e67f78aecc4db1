"""Rewrite Parquet parts: to a schema that grew, or without some of their rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.datasets.avro import DatasetSchema
from personalize_local.datasets.parquet import write_rows
from personalize_local.datasets.rows import ARROW_TYPES


def rewrite_part(part: str, path: str, change: Callable[[pa.Table], pa.Table]) -> int:
    """Write the changed rows of `part` to `path`, and return how many rows fewer there are."""
    table = pq.read_table(part)
    changed = change(table)
    write_rows(changed, path)
    # The age of a part decides which of two rows with one id is newer; its rows are as old as before.
    age = Path(part).stat()
    os.utime(path, ns=(age.st_atime_ns, age.st_mtime_ns))
    return int(table.num_rows - changed.num_rows)


def with_columns(table: pa.Table, schema: DatasetSchema) -> pa.Table:
    """Return the rows in the columns of a schema: null in those that the table lacks."""
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
