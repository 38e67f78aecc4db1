"""Read CSV as Arrow columns of strings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.csv as pv

from recsync.errors import FatalError
from recsync.storage.byte_stream import ByteStream
from recsync.storage.csv_text.blocks import cut_records
from recsync.storage.csv_text.records import unix_line_ends

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def text_batches(stream: ByteStream, columns: Sequence[str], *, name: str) -> Iterator[pa.RecordBatch]:
    """Read a stream of CSV in batches of strings; an empty cell is null, two quotes are an empty string.

    :param name: the SQL file, for errors.
    :raises FatalError: when a text is not UTF-8, naming its column.
    """
    for block in cut_records(stream):
        lines = unix_line_ends(block)
        try:
            batch = read_block(lines, dict.fromkeys(columns, pa.string()))
        except pa.ArrowInvalid:
            batch = _decoded(read_block(lines, dict.fromkeys(columns, pa.binary())), name)
        yield batch


def read_block(block: bytes, types: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    """Read whole records with the types given; an empty cell is NULL, two quotes are an empty value.

    :raises pyarrow.ArrowInvalid: when a value is not of its column's type, a text is not UTF-8, or a record has more
        or fewer cells than there are columns.
    """
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


def _decoded(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    columns = {}
    for column in batch.schema.names:
        try:
            columns[column] = batch[column].cast(pa.string())
        except pa.ArrowInvalid:
            raise FatalError(
                f"{name} returns a text in {column} that is not UTF-8; convert it in the query."
            ) from None
    return pa.RecordBatch.from_pydict(columns)
