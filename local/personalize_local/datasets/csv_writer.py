r"""Write CSV as the service describes it, so that what was exported can be imported again.

Rules: https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

_ROWS_PER_BLOCK = 100_000  # bounds the memory that the text takes
_NEEDS_QUOTES = r'[",\\\r\n]'


def write_csv(table: pa.Table, path: Path) -> None:
    """Write a header and one line per row: UTF-8, empty cells for nulls, quotes where needed."""
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(",".join(table.column_names) + "\n")
        for block in table.to_batches(max_chunksize=_ROWS_PER_BLOCK):
            cells = [_cells(column) for column in block.columns]
            for line in pc.binary_join_element_wise(*cells, ",").to_pylist():
                out.write(line + "\n")


def _cells(column: pa.Array) -> pa.Array:
    if not pa.types.is_string(column.type):
        return pc.fill_null(pc.cast(column, pa.string()), "")
    escaped = pc.replace_substring(pc.replace_substring(column, "\\", "\\\\"), '"', '\\"')
    quoted = pc.binary_join_element_wise('"', escaped, '"', "")
    return pc.fill_null(pc.if_else(pc.match_substring_regex(column, _NEEDS_QUOTES), quoted, column), "")
