"""Leave suppressed users out of the CSV that a warehouse sends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from recsync.storage.csv_text import cells_of, record_ends
from recsync.suppression.suppression_list import USER, Suppression

_USER_ID = "USER_ID"


def without_suppressed(block: bytes, columns: Sequence[str], suppression: Suppression) -> bytes:
    """Leave suppressed users out of a block that a warehouse sent.

    :param block: whole records of RFC 4180 CSV without a header.
    :param columns: their columns.
    :returns: the very same object when nobody of it is suppressed.
    """
    if not suppression.users or _USER_ID not in columns or not block:
        return block
    ends = record_ends(block)
    found = suppression.rows(USER, _users(block, columns, ends.tolist()))
    if not found.any():
        return block
    starts = np.concatenate([[0], ends[:-1]])
    kept = np.flatnonzero(~found)
    return b"".join(block[s:e] for s, e in zip(starts[kept].tolist(), ends[kept].tolist(), strict=True))


def _users(block: bytes, columns: Sequence[str], ends: list[int]) -> pa.Array:
    try:
        table = pc.read_csv(
            pa.BufferReader(block),
            pc.ReadOptions(column_names=list(columns), use_threads=False, block_size=len(block) + 1),
            pc.ParseOptions(newlines_in_values=True),
            pc.ConvertOptions(include_columns=[_USER_ID], column_types={_USER_ID: pa.string()}),
        )
        if len(table) == len(ends):
            return table.column(0).combine_chunks()
    except pa.ArrowInvalid:
        pass
    # A block with a misshapen row, which the checks will find: read one by one.
    place = list(columns).index(_USER_ID)
    cells = (list(cells_of(block[s:e].rstrip(b"\r\n"))) for s, e in zip([0, *ends], ends, strict=False))
    values = [row[place] if place < len(row) else None for row in cells]
    return pa.array([v and v.decode(errors="replace") for v in values], pa.string())
