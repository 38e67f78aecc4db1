"""Read a Parquet file in blocks and map its types to PostgreSQL's.

https://arrow.apache.org/docs/python/parquet.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse_local.errors import FileError
from warehouse_local.source import BLOCK_ROWS, first_clash

_REMEDY = "Write it again with a Parquet library, or load it as CSV."
_Test = Callable[[pa.DataType], bool]
# The first matching test gives the type; any other type becomes jsonb.
_SQL_TYPES: list[tuple[_Test, str]] = [
    (pa.types.is_uint64, "numeric"),
    (pa.types.is_integer, "bigint"),
    (pa.types.is_floating, "double precision"),
    (pa.types.is_decimal, "numeric"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "timestamptz"),
    (pa.types.is_time, "time"),
    (lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind), "text"),
    (pa.types.is_null, "text"),
    (lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind), "bytea"),
    (pa.types.is_fixed_size_binary, "bytea"),
]


class ParquetSource:
    """Read one Parquet file; naive timestamps are UTC, nested columns become jsonb.

    Raises FileError if the file cannot be read or two of its columns would share a name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        try:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise self.explain(error) from error
        self.raw_columns = list(schema.names)
        if not self.raw_columns:
            raise FileError(path.name, "the file has no columns", _REMEDY)
        clash = first_clash(self.raw_columns)
        if clash:
            raise FileError(
                path.name,
                f"the columns {clash[0]!r} and {clash[1]!r} would both be called {clash[2]!r}",
                "Rename one of them.",
            )
        self.sql_types = [_sql_type(kind) for kind in schema.types]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Stream record batches whose CSV form is valid for PostgreSQL as `sql_types`."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=BLOCK_ROWS):
                columns = [_plain(column) for column in batch.columns]
                yield pa.RecordBatch.from_arrays(columns, names=[str(n) for n in range(len(columns))])

    def explain(self, error: Exception) -> Exception:
        """Wrap an error of the Parquet library."""
        return FileError(self.path.name, f"not a Parquet file that can be loaded ({error})", _REMEDY)


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return next((name for test, name in _SQL_TYPES if test(kind)), "jsonb")


def _plain(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        # Naive timestamps are UTC; PostgreSQL has microseconds.
        return column.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(pa.timestamp("us", tz="UTC"))
    if pa.types.is_float16(kind):
        return column.cast(pa.float32())
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    sql_type = _sql_type(kind)
    if sql_type == "bytea":
        return pa.array([None if v is None else "\\x" + v.hex() for v in column.to_pylist()], pa.string())
    if sql_type == "jsonb":
        texts = [None if v is None else json.dumps(v, default=str) for v in column.to_pylist()]
        return pa.array(texts, pa.string())
    return column
