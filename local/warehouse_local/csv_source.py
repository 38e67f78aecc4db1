"""Read a CSV file in blocks of strings, with types inferred over the whole file.

https://arrow.apache.org/docs/python/csv.html
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from warehouse_local.csv_diagnosis import count_quotes, find_fault, read_header
from warehouse_local.errors import FileError
from warehouse_local.identifiers import first_clash
from warehouse_local.infer import ColumnType
from warehouse_local.source import BLOCK_BYTES

_OTHER_DELIMITERS = ";\t|"


class CsvSource:
    """Read one CSV file: UTF-8, a header row, comma (or ; tab |) between fields, empty field = null.

    The file is read once on construction to infer the types; raises FileError if it cannot be a table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        header_line = read_header(path)
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
        """Refuse a quote that is never closed: Arrow would take all the rest of the file for one field."""
        if count_quotes(self.path) % 2 and (
            fault := find_fault(self.path, self._delimiter, len(self.raw_columns))
        ):
            raise FileError(self.path.name, *fault)

    def _infer(self) -> list[str]:
        columns = [ColumnType() for _ in self.raw_columns]
        try:
            for batch in self._blocks():
                for column, values in zip(columns, batch.columns, strict=True):
                    column.see(values)
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
                # Positions as names: a header may repeat nothing, but it may leave a name empty.
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
        """Read the file again, slowly, to name the line and the remedy."""
        problem, remedy = find_fault(self.path, self._delimiter, len(self.raw_columns)) or (
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
