"""Say what the loader asks of a file, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa

BLOCK_BYTES = 1024 * 1024
"""How much of a file is read at a time. Arrow reads up to 32 blocks ahead, so larger ones cost memory 32-fold."""
BLOCK_ROWS = 64 * 1024


class Source(Protocol):
    """Be one file about to become a table."""

    path: Path
    raw_columns: list[str]
    sql_types: list[str]
    notes: list[str]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Stream the rows in file order, in values whose CSV form PostgreSQL reads as `sql_types`."""
        ...

    def explain(self, error: Exception) -> Exception:
        """Turn a low-level reading error into a FileError with place and remedy."""
        ...
