"""Define what the loader needs from a file, and turn names of files and columns into SQL identifiers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

BLOCK_BYTES = 1024 * 1024
"""Size of one read. Arrow reads up to 32 blocks ahead, so memory grows by 32 times this size."""
BLOCK_ROWS = 64 * 1024


class Source(Protocol):
    """Read one file that becomes a table."""

    path: Path
    raw_columns: list[str]
    sql_types: list[str]
    notes: list[str]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Stream the rows in file order; their CSV form is valid for PostgreSQL as `sql_types`."""
        ...

    def explain(self, error: Exception) -> Exception:
        """Convert a low-level error into a FileError with place and remedy."""
        ...


MAX_NAME_BYTES = 63  # NAMEDATALEN - 1: PostgreSQL truncates longer names without an error


def safe_name(raw: str, fallback: str) -> str:
    """Convert `raw` to a lower-case identifier of a-z, 0-9 and underscores, or `fallback` if empty."""
    plain = unicodedata.normalize("NFKD", raw.casefold()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9_]+", "_", plain).strip("_") or fallback
    if name[0].isdigit():
        name = f"_{name}"
    return name[:MAX_NAME_BYTES]


def safe_columns(raw_names: Sequence[str]) -> list[str]:
    """Convert column names in order; an empty name becomes `column_<position from 1>`."""
    return [safe_name(raw, f"column_{position}") for position, raw in enumerate(raw_names, start=1)]


def first_clash(raw_names: Sequence[str]) -> tuple[str, str, str] | None:
    """Return (first raw name, second raw name, shared name) of two columns with the same safe name, or None."""
    seen: dict[str, str] = {}
    for raw, name in zip(raw_names, safe_columns(raw_names), strict=True):
        if name in seen:
            return seen[name], raw, name
        seen[name] = raw
    return None
