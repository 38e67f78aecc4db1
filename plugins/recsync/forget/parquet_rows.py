"""One person's rows leave a Parquet file, or lose who they are about where a ledger counts by their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.forget.csv_rows import Removed
from recsync.forget.identity import Identity


def without_person(source: Path, target: Path, identity: Identity, *, stand_in: str = "") -> Removed:
    """Write a file without one person's rows, row group by row group.

    :param target: written only when something is to be removed.
    :param stand_in: keep the rows, in their places, as those of somebody of this name; their other values are
        emptied. Empty: drop them.
    """
    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow
        columns = {name: identity.of_column(name) for name in schema.names if identity.of_column(name)}
        counted = Removed()
        for group in range(file.num_row_groups):
            found = (
                _found(file.read_row_group(group, columns=list(columns)), columns) if columns else np.zeros(0)
            )
            counted.removed += int(found.sum())
        counted.kept = file.metadata.num_rows - (0 if stand_in else counted.removed)
        if counted.removed:
            with pq.ParquetWriter(target, schema, compression="zstd") as writer:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group)
                    found = _found(table, columns)
                    changed = (
                        _replaced(table, found, stand_in) if stand_in else table.filter(pa.array(~found))
                    )
                    writer.write_table(changed)
    return counted


def _found(table: pa.Table, columns: dict[str, frozenset[str]]) -> Any:
    found = np.zeros(len(table), dtype=np.bool_)
    for name, ids in columns.items():
        column = table.column(name)
        texts = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        hits = pc.is_in(texts, value_set=pa.array(sorted(ids), pa.string()))
        found |= hits.to_numpy(zero_copy_only=False)
    return found


def _replaced(table: pa.Table, found: Any, stand_in: str) -> pa.Table:
    if not found.any():
        return table
    rows = np.flatnonzero(found).tolist()
    columns = []
    for field in table.schema:
        values = table.column(field.name)
        empty = _EMPTY.get(field.name, stand_in if field.name.endswith("_id") else None)
        if empty is None and (field.name in _COUNTED or not pa.types.is_string(field.type)):
            columns.append(values)
            continue
        changed = values.to_pylist()
        for row in rows:
            changed[row] = empty if empty is not None else changed[row] and ""
        columns.append(pa.array(changed, field.type))
    return pa.table(columns, schema=table.schema)


# What a plan holds of one person beside the id and figures; outcomes are counted, so they stay.
_EMPTY: dict[str, Any] = {"object": b"{}", "changes": []}
_COUNTED = frozenset({"outcome"})
