"""Keep the rows of a dataset as Parquet files, without repeated rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# Datasets whose rows are known by an id: a later row with the same id takes the place of the former.
_KEYS = {"ITEMS": "ITEM_ID", "USERS": "USER_ID", "ACTIONS": "ACTION_ID"}


def merges_on_import(dataset_type: str) -> bool:
    """Tell whether an INCREMENTAL import has to rewrite the dataset instead of adding a file to it."""
    return dataset_type in _KEYS


def write_rows(table: pa.Table, path: str) -> None:
    """Write rows to a new file."""
    pq.write_table(table, path, compression="zstd")


def read_parts(parts: Sequence[str], dataset_type: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of all files of a dataset, without repeated rows."""
    tables = [pq.read_table(part) for part in parts]
    # Every bulk file is without repeated rows; a file of streamed items or users may repeat an id.
    whole = len(tables) == 1 and dataset_type not in _KEYS
    table = tables[0] if whole else without_repeats(pa.concat_tables(tables), dataset_type)
    return table if columns is None else table.select(list(columns))


def without_repeats(table: pa.Table, dataset_type: str) -> pa.Table:
    """Collapse equal rows to one; where rows have an id, keep only the last row of each id."""
    key = _KEYS.get(dataset_type)
    if key is None:
        return table.group_by(table.column_names, use_threads=False).aggregate([]).select(table.column_names)
    numbered = pa.table({"key": table[key], "row": np.arange(table.num_rows)})
    last = numbered.group_by("key", use_threads=False).aggregate([("row", "max")])["row_max"]
    return table.take(last.take(pc.sort_indices(last)))
