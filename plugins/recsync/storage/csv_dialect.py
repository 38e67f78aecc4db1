"""Convert RFC 4180 CSV to the dialect of Amazon Personalize, and to Arrow columns.

Inside quotes RFC 4180 doubles a quote, while Amazon Personalize wants a backslash before a quote or a backslash.
https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv

from recsync.errors import FatalError
from recsync.storage.csv_text import ByteStream, cut_records, split_records, unix_line_ends

_QUOTE = ord('"')
# A quoted cell, or the text up to the next comma; then the comma or the record's line end.
_CELL = re.compile(rb'(?:"([^"]*(?:""[^"]*)*)"|([^,]*?))(?:,|\r?\n\Z)')
_ESCAPED = re.compile(rb'["\\]')
_QUOTED = re.compile(rb'[",\\\r\n]')


def to_personalize(block: bytes) -> bytes:
    """Write whole records in the dialect of Amazon Personalize, where an empty string is an empty cell.

    :returns: the same object when nothing has to change, which is nearly always.
    """
    quoted = b'"' in block
    if quoted and b'""' in block:
        block = without_empty_strings(block)
    if b"\\" not in block and not (quoted and b'""' in block):
        return block
    return b"".join(
        _encoded(record) if b"\\" in record or b'""' in record else record for record in split_records(block)
    )


def without_empty_strings(block: bytes) -> bytes:
    """Turn cells that hold an empty string (two quotes) into empty cells."""
    text = np.frombuffer(block, dtype=np.uint8)
    quotes = np.flatnonzero(text == _QUOTE)
    # Every second quote opens a cell or follows a doubled quote. An empty string closes at once, and not with the
    # first half of a doubled quote.
    opening, closing = quotes[0::2], quotes[1::2]
    opening = opening[: len(closing)]
    following = np.append(quotes[2::2], -1)[: len(closing)]
    starts_cell = (opening == 0) | np.isin(text[opening - 1], (ord(","), ord("\n")))
    empty = (closing == opening + 1) & (following != closing + 1) & starts_cell
    if not empty.any():
        return block
    keep = np.ones(len(text), dtype=np.bool_)
    keep[opening[empty]] = False
    keep[closing[empty]] = False
    return text[keep].tobytes()


def cells_of(record: bytes) -> Iterator[bytes | None]:
    """Read the cells of one record.

    :returns: None for an empty cell without quotes, which is NULL.
    """
    position = 0
    while position < len(record):
        cell = _CELL.match(record, position)
        if cell is None:
            yield record[position:]
            return
        position = cell.end()
        if cell[1] is not None:
            yield cell[1].replace(b'""', b'"')
        else:
            yield cell[2] or None
    if record.endswith(b","):
        yield None


def _encoded(record: bytes) -> bytes:
    return b",".join(_cell(cell) for cell in cells_of(record)) + b"\n"


def _cell(value: bytes | None) -> bytes:
    if not value:
        return b""
    if _QUOTED.search(value):
        return b'"' + _ESCAPED.sub(rb"\\\g<0>", value) + b'"'
    return value


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def text_batches(stream: ByteStream, columns: Sequence[str], *, name: str) -> Iterator[pa.RecordBatch]:
    """Read a stream of CSV in batches of strings; an empty cell is NULL, two quotes are an empty string.

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
    """Read whole records with the given types; an empty cell is NULL, two quotes are an empty value.

    :raises pyarrow.ArrowInvalid: when a value is not of its column's type, a text is not UTF-8, or a record has more
        or fewer cells than there are columns.
    """
    schema = pa.schema(list(types.items()))
    if not block:
        return pa.RecordBatch.from_pylist([], schema=schema)
    if block.startswith(_BYTE_ORDER_MARK):
        # Arrow drops one; cut_records removed the stream's own, so this one is part of a value.
        block = _BYTE_ORDER_MARK + block
    quoted = b'"' in block
    table = pv.read_csv(
        pa.BufferReader(block),
        # One piece in this thread: blocks are small and a task has one processor.
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
        # Arrow's own allocators do not return freed memory.
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
