"""Turn the names of files and columns into names that need no quotes in SQL."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MAX_NAME_BYTES = 63  # NAMEDATALEN - 1: longer names are cut by PostgreSQL without an error


def safe_name(raw: str, fallback: str) -> str:
    """Make `raw` a lower-case identifier of a-z, 0-9 and underscores; `fallback` if nothing is left."""
    plain = unicodedata.normalize("NFKD", raw.casefold()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9_]+", "_", plain).strip("_") or fallback
    if name[0].isdigit():
        name = f"_{name}"
    return name[:MAX_NAME_BYTES]


def safe_columns(raw_names: Sequence[str]) -> list[str]:
    """Make every column name safe, keeping order; an empty name becomes `column_<position from 1>`."""
    return [safe_name(raw, f"column_{position}") for position, raw in enumerate(raw_names, start=1)]


def first_clash(raw_names: Sequence[str]) -> tuple[str, str, str] | None:
    """Find two columns that would share one name: (first raw name, second raw name, shared name)."""
    seen: dict[str, str] = {}
    for raw, name in zip(raw_names, safe_columns(raw_names), strict=True):
        if name in seen:
            return seen[name], raw, name
        seen[name] = raw
    return None
