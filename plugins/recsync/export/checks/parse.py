"""Read a block of CSV into Arrow."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from recsync.program.columns import Column
from recsync.storage.csv_text.texts import read_block


def typed(block: bytes, columns: Sequence[Column]) -> pa.RecordBatch:
    """Read whole records with the columns' types; an empty cell is NULL.

    :raises pyarrow.ArrowInvalid: when a value is not of its column's type, a text is not UTF-8, or a record has more
        or fewer cells than there are columns.
    """
    return read_block(block, {column.name: column.arrow_type for column in columns})


def untyped(block: bytes, columns: Sequence[Column]) -> pa.RecordBatch:
    """Read whole records as bytes; an empty cell is NULL, two quotes are an empty value.

    :raises pyarrow.ArrowInvalid: when a record has more or fewer cells than there are columns.
    """
    return read_block(block, {column.name: pa.binary() for column in columns})
