"""Decide from all values of a CSV column which PostgreSQL type loses nothing.

A pattern accepts only what PostgreSQL reads the same way. Everything else stays text, above all identifiers:
a leading zero, a leading plus or more than 18 digits would not survive as a number, and a code such as ``1E5`` or
``10E4`` would become another one. Whole numbers written as ``17850.0``, as pandas writes them in a column with empty
fields, are integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

_DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,9})?)?"
_ZONE = r"(?: ?Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?"
_WHOLE = r"(?:0|[1-9][0-9]{0,17})"
# Narrowest first: the first type whose pattern fits every value of the column is taken.
PATTERNS = {
    "boolean": r"(?i:true|false)",
    "bigint": rf"-?{_WHOLE}(?:[.]0)?",
    "double precision": rf"-?(?:{_WHOLE}|(?:{_WHOLE}[.][0-9]*|[.][0-9]+)(?:[eE][+-]?[0-9]{{1,2}})?|(?i:nan))",
    "date": _DATE,
    "timestamptz": rf"{_DATE}(?:[T ]{_CLOCK}{_ZONE})?",
}
_ANCHORED = {name: rf"\A\s*(?:{pattern})\s*\z" for name, pattern in PATTERNS.items()}


@dataclass
class ColumnType:
    """Narrow down one column's type, block of rows by block of rows."""

    candidates: list[str] = field(default_factory=lambda: list(PATTERNS))
    seen_values: bool = False
    point_zero: bool = False
    """Whether a value ends in ``.0``."""
    demoted_by: str | None = None
    """The value that made a so far typed column text, to show to the person who loads the file."""

    def see(self, values: pa.Array) -> None:
        """Take in one block of a column's strings; null and empty ones say nothing about the type."""
        values = values.filter(pc.not_equal(values, ""))  # a null compares to null and is left out too
        if not len(values):
            return
        kept = [name for name in self.candidates if _all_match(values, name)]
        if not kept and self.candidates and self.seen_values:
            self.demoted_by = _first_mismatch(values, self.candidates[-1])
        self.candidates = kept
        self.seen_values = True
        if "bigint" in kept and not self.point_zero:
            self.point_zero = bool(pc.any(pc.match_substring(values, ".")).as_py())

    @property
    def sql_type(self) -> str:
        """Name the narrowest type that fits all values; text if none does or there are no values."""
        return self.candidates[0] if self.candidates and self.seen_values else "text"


def _all_match(values: pa.Array, name: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, _ANCHORED[name])).as_py())


def _first_mismatch(values: pa.Array, name: str) -> str | None:
    position = pc.index(pc.match_substring_regex(values, _ANCHORED[name]), False).as_py()
    return str(values[position].as_py()) if position >= 0 else None
