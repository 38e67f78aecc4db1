"""Read a CSV file in blocks of strings, infer its column types, and explain a file that cannot be read.

A type pattern accepts only values that PostgreSQL reads without loss. Everything else stays text, above all
identifiers: a leading zero, a leading plus or more than 18 digits would not survive as a number, and a code such as
``1E5`` or ``10E4`` would become another one. Integers written as ``17850.0``, as pandas writes a column with empty
fields, are integers.
https://arrow.apache.org/docs/python/csv.html
"""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from warehouse_local.errors import FileError
from warehouse_local.source import BLOCK_BYTES, first_clash

_OTHER_DELIMITERS = ";\t|"
_SAVE_AS_UTF8 = "Save the file as UTF-8 (for example: iconv -f LATIN1 -t UTF-8 FILE)."
_CLOSE_QUOTES = 'Close the quotes, and double a quote inside a field ("").'
_DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,9})?)?"
_ZONE = r"(?: ?Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?"
_WHOLE = r"(?:0|[1-9][0-9]{0,17})"
# Narrowest first: a column gets the first type whose pattern matches all values.
PATTERNS = {
    "boolean": r"(?i:true|false)",
    "bigint": rf"-?{_WHOLE}(?:[.]0)?",
    "double precision": rf"-?(?:{_WHOLE}|(?:{_WHOLE}[.][0-9]*|[.][0-9]+)(?:[eE][+-]?[0-9]{{1,2}})?|(?i:nan))",
    "date": _DATE,
    "timestamptz": rf"{_DATE}(?:[T ]{_CLOCK}{_ZONE})?",
}
_ANCHORED = {name: rf"\A\s*(?:{pattern})\s*\z" for name, pattern in PATTERNS.items()}


class CsvSource:
    """Read one CSV file: UTF-8, a header row, comma (or ; tab |) between fields, empty field = null.

    The file is read once on construction to infer the types; raises FileError if it cannot be a table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        header_line = _read_header(path)
        self._delimiter = _delimiter_of(header_line)
        if self._delimiter != ",":
            self.notes.append(f"fields are separated by {self._delimiter!r}")
        self.raw_columns = next(csv.reader([header_line], delimiter=self._delimiter), [])
        self._check_columns()
        self._check_quotes()
        self.sql_types = self._infer()

    def _check_columns(self) -> None:
        clash = first_clash(self.raw_columns)
        if clash:
            first, second, name = clash
            raise FileError(
                self.path.name,
                f"line 1: the columns {first!r} and {second!r} would both be called {name!r}",
                "Rename one of them in the header.",
            )

    def _check_quotes(self) -> None:
        """Refuse an unclosed quote: Arrow would read the rest of the file as one field."""
        if _count_quotes(self.path) % 2 and (
            fault := _find_fault(self.path, self._delimiter, len(self.raw_columns))
        ):
            raise FileError(self.path.name, *fault)

    def _infer(self) -> list[str]:
        columns = [_ColumnType() for _ in self.raw_columns]
        try:
            for batch in self._blocks():
                for column, values in zip(columns, batch.columns, strict=True):
                    column.add(values)
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise self.explain(error) from error
        for name, column in zip(self.raw_columns, columns, strict=True):
            if column.demoted_by is not None:
                self.notes.append(f"column {name!r} is text because of the value {column.demoted_by[:40]!r}")
            elif column.sql_type == "bigint" and column.point_zero:
                self.notes.append(f"column {name!r} is an integer: all its values are whole, some end in .0")
        return [column.sql_type for column in columns]

    def _blocks(self) -> Iterator[pa.RecordBatch]:
        reader = arrow_csv.open_csv(
            self.path,
            read_options=arrow_csv.ReadOptions(
                block_size=BLOCK_BYTES,
                use_threads=False,  # rows are counted in messages only when read in order
                # Use positions as names: names in the header may be empty.
                column_names=[str(position) for position in range(len(self.raw_columns))],
                skip_rows_after_names=1,
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types={str(position): pa.string() for position in range(len(self.raw_columns))},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        with reader:
            yield from reader

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Stream blocks of strings that PostgreSQL reads as ``sql_types``."""
        for batch in self._blocks():
            columns = [
                _readable(values, sql_type)
                for values, sql_type in zip(batch.columns, self.sql_types, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    def explain(self, error: Exception) -> Exception:
        """Read the file again line by line to find the faulty line and the remedy."""
        problem, remedy = _find_fault(self.path, self._delimiter, len(self.raw_columns)) or (
            str(error),
            "Check the file with a CSV tool.",
        )
        return FileError(self.path.name, problem, remedy)


def _readable(values: pa.Array, sql_type: str) -> pa.Array:
    """Make an empty string of a typed column null, and 17850.0 of an integer column 17850."""
    if sql_type == "text":
        return values
    if sql_type == "bigint":
        values = pc.replace_substring_regex(values, r"[.]0(\s*)$", r"\1")
    return pc.if_else(pc.equal(values, ""), None, values)


def _delimiter_of(header_line: str) -> str:
    if "," in header_line:
        return ","
    return max(
        (mark for mark in _OTHER_DELIMITERS if mark in header_line), key=header_line.count, default=","
    )


@dataclass
class _ColumnType:
    """Infer the type of one column, block by block."""

    candidates: list[str] = field(default_factory=lambda: list(PATTERNS))
    seen_values: bool = False
    point_zero: bool = False
    """Whether a value ends in ``.0``."""
    demoted_by: str | None = None
    """The value that turned a typed column into text, for the note to the user."""

    def add(self, values: pa.Array) -> None:
        """Add one block of strings; null and empty strings do not affect the type."""
        values = values.filter(pc.not_equal(values, ""))  # also drops nulls
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
        """Return the narrowest type that fits all values; text if none fits or there are no values."""
        return self.candidates[0] if self.candidates and self.seen_values else "text"


def _all_match(values: pa.Array, name: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, _ANCHORED[name])).as_py())


def _first_mismatch(values: pa.Array, name: str) -> str | None:
    position = pc.index(pc.match_substring_regex(values, _ANCHORED[name]), False).as_py()
    return str(values[position].as_py()) if position >= 0 else None


def _read_header(path: Path) -> str:
    """Read the first line without byte order mark and line end.

    Raises FileError if the file is empty, is UTF-16, or its header is not UTF-8 or spans lines.
    """
    with path.open("rb") as stream:
        line = stream.readline()
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileError(path.name, "the file is UTF-16, not UTF-8", _SAVE_AS_UTF8.replace("LATIN1", "UTF-16"))
    try:
        # A lone carriage return ends lines in some old exports; the first line is then the whole file.
        text = line.decode("utf-8-sig").split("\r")[0].rstrip("\n")
    except UnicodeDecodeError as error:
        raise FileError(path.name, _not_utf8(1, error), _SAVE_AS_UTF8) from error
    if not text.strip():
        raise FileError(
            path.name, "the file is empty or its first line is", "The first line has to name the columns."
        )
    if text.count('"') % 2:
        raise FileError(path.name, "line 1: a quote in the header is not closed on its line", _CLOSE_QUOTES)
    return text


def _count_quotes(path: Path) -> int:
    """Count the double quotes of a file; the number is even if each is closed."""
    with path.open("rb") as stream:
        return sum(block.count(b'"') for block in iter(lambda: stream.read(BLOCK_BYTES), b""))


def _find_fault(path: Path, delimiter: str, width: int) -> tuple[str, str] | None:
    """Return (problem with its line, remedy) of the first row without `width` readable fields, or None."""
    csv.field_size_limit(sys.maxsize)
    lines = _Lines(path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    start = 1
    try:
        for row in reader:
            if row and len(row) != width:
                return _ragged(start, row, width)
            if any("\0" in field for field in row):
                return (
                    f"line {start}: a field holds the character NUL (0x00)",
                    "Remove it; no database keeps it.",
                )
            start = reader.line_num + 1
    except UnicodeDecodeError as error:
        return _not_utf8(lines.number, error), _SAVE_AS_UTF8
    except csv.Error as error:
        return f"line {start}: the row that begins here cannot be read ({error})", _CLOSE_QUOTES
    return None


def _ragged(line: int, row: list[str], width: int) -> tuple[str, str]:
    extra = "; is a field with the separator in it missing its quotes?" if len(row) > width else ""
    return (
        f"line {line}: {len(row)} fields where the header has {width}{extra}",
        f"The row ends with {row[-1][:40]!r}: mend or remove it.",
    )


def _not_utf8(line: int, error: UnicodeDecodeError) -> str:
    bad = error.object[error.start : error.start + 1].hex()
    return f"line {line}, byte {error.start + 1}: byte 0x{bad} is not UTF-8"


class _Lines:
    """Decode a file line by line and keep the line number for decoding errors."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        with self._path.open("rb") as stream:
            for raw in stream:
                self.number += 1
                yield raw.decode("utf-8-sig" if self.number == 1 else "utf-8")
