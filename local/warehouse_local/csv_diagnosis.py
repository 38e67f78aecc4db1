"""Find the first fault of a CSV file line by line, to tell a person where it is and what to do."""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from warehouse_local.errors import FileError
from warehouse_local.source import BLOCK_BYTES

_SAVE_AS_UTF8 = "Save the file as UTF-8 (for example: iconv -f LATIN1 -t UTF-8 FILE)."
_CLOSE_QUOTES = 'Close the quotes, and double a quote inside a field ("").'


def read_header(path: Path) -> str:
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


def count_quotes(path: Path) -> int:
    """Count the double quotes of a file, which are even in number where each is closed."""
    with path.open("rb") as stream:
        return sum(block.count(b'"') for block in iter(lambda: stream.read(BLOCK_BYTES), b""))


def find_fault(path: Path, delimiter: str, width: int) -> tuple[str, str] | None:
    """Find the first row that cannot be read as `width` fields: (problem with its line, remedy), or None."""
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
    """Decode line by line, remembering the line, so that a decoding error can name it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        with self._path.open("rb") as stream:
            for raw in stream:
                self.number += 1
                yield raw.decode("utf-8-sig" if self.number == 1 else "utf-8")
