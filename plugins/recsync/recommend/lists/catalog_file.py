"""Keep a catalog as it was read, rules included, in a Parquet file: several tasks build lists from the same one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.recommend.lists.catalog import CATALOG, CatalogReport, Finding, ItemCatalog, ItemValues
from recsync.storage.hashes import numbers_of

_FLAG, _GROUP, _CODES = "flag:", "group", "codes"
_METADATA = b"recsync"


def write_catalog(catalog: ItemCatalog, target: Path) -> None:
    """Write a catalog; of its findings only the numbers."""
    table, values, report = catalog.table, catalog.values, catalog.report
    for name, flags in catalog.flags.items():
        table = table.append_column(f"{_FLAG}{name}", pa.array(flags))
    if catalog.groups is not None:
        table = table.append_column(_GROUP, pa.array(catalog.groups, pa.int32()))
    if values is not None:
        codes = pa.ListArray.from_arrays(pa.array(values.starts.astype(np.int32)), pa.array(values.codes))
        table = table.append_column(_CODES, codes)
    document = {
        "sql": report.sql,
        "rows": report.rows,
        "items": report.items,
        "quarantined": report.quarantined,
        "findings": [[one.rule, one.column, one.what, one.items] for one in report.findings.values()],
        "columns": values.columns.tolist() if values else [],
        "most": values.most.tolist() if values else [],
    }
    metadata = {_METADATA: json.dumps(document).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), target, compression="zstd")


def load_catalog(source: Path) -> ItemCatalog:
    """Read it back."""
    # Not read_table and to_numpy, which import pandas: half of the CPU seconds of the task that publishes.
    with pq.ParquetFile(source) as file:
        table = file.read().combine_chunks()
    document = json.loads(table.schema.metadata[_METADATA])
    table = table.replace_schema_metadata(None)
    values = None
    if _CODES in table.column_names:
        codes = table[_CODES].chunk(0)
        values = ItemValues(
            numbers_of(codes.offsets).astype(np.int64),
            numbers_of(codes.values).astype(np.int32),
            np.array(document["columns"], np.int8),
            np.array(document["most"], np.int64),
        )
    report = CatalogReport(document["sql"], document["rows"], document["items"], document["quarantined"])
    for rule, column, what, items in document["findings"]:
        report.findings[rule, column, what] = Finding(rule, column, what, items)
    return ItemCatalog(
        table.select(CATALOG.names),
        {
            name.removeprefix(_FLAG): numbers_of(table[name].chunk(0).cast(pa.uint8())).view(np.bool_)
            for name in table.column_names
            if name.startswith(_FLAG)
        },
        values,
        numbers_of(table[_GROUP].chunk(0)).astype(np.int32) if _GROUP in table.column_names else None,
        report,
    )
