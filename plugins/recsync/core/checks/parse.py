"""Read a block of CSV into Arrow."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv as pv

from recsync.core.checks.columns import Column

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def typed(block: bytes, columns: Sequence[Column]) -> pa.RecordBatch:
    """Read whole records with the columns' types; an empty cell is NULL.

    :raises pyarrow.ArrowInvalid: when a value is not of its column's type, a text is not UTF-8, or a record has more
        or fewer cells than there are columns.
    """
    return _read(block, {column.name: column.arrow_type for column in columns})


def untyped(block: bytes, columns: Sequence[Column]) -> pa.RecordBatch:
    """Read whole records as bytes; an empty cell is NULL, two quotes are an empty value.

    :raises pyarrow.ArrowInvalid: when a record has more or fewer cells than there are columns.
    """
    return _read(block, {column.name: pa.binary() for column in columns})


def _read(block: bytes, types: dict[str, pa.DataType]) -> pa.RecordBatch:
    schema = pa.schema(list(types.items()))
    if not block:
        return pa.RecordBatch.from_pylist([], schema=schema)
    if block.startswith(_BYTE_ORDER_MARK):
        # Arrow drops one; the stream's own is gone already, so this one is part of a value.
        block = _BYTE_ORDER_MARK + block
    quoted = b'"' in block
    table = pv.read_csv(
        pa.BufferReader(block),
        # One piece, in this thread: a task has one processor, and blocks are small.
        read_options=pv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=list(types)),
        parse_options=pv.ParseOptions(
            quote_char='"' if quoted else False, newlines_in_values=quoted, ignore_empty_lines=False
        ),
        convert_options=pv.ConvertOptions(
            column_types=types,
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=False,
            check_utf8=not block.isascii(),
        ),
        # Arrow's own allocators keep what was freed.
        memory_pool=pa.system_memory_pool(),
    )
    return table.combine_chunks().to_batches()[0]
