"""Read, check and write the rows of CSV objects, with the service's error messages.

The format is UTF-8, one record per line, with `\\` as escape character inside quotes only.
Rules: https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from personalize_local.datasets.avro import DatasetSchema, Field
from personalize_local.errors import JobFailed

ARROW_TYPES = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
_BOM = b"\xef\xbb\xbf"
# A quoted cell, or a backslash outside of quotes.
_QUOTED_OR_BACKSLASH = re.compile(rb'(?:\A|(?<=[,\r\n]))"(?:[^"\\]|\\.|"")*"|\\', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_MOST_ERROR_CHARACTERS = 300
_ROWS_PER_BLOCK = 100_000  # bounds the memory that the text takes
_NEEDS_QUOTES = r'[",\\\r\n]'


def read_csv_objects(contents: Iterable[bytes], schema: DatasetSchema) -> pa.Table:
    """Return the checked rows of all CSV objects of one import, in schema order; raise `JobFailed`."""
    header: list[str] | None = None
    tables = []
    for content in contents:
        names = read_header(content)
        if header is not None and names != header:
            raise JobFailed("All files of an import must have the same header.")
        header = names
        _check_columns(names, schema)
        tables.append(_typed(read_text_columns(content, schema.names), schema))
    return pa.concat_tables(tables)


def _check_columns(names: list[str], schema: DatasetSchema) -> None:
    missing = [name for name in schema.names if name not in names]
    if missing:
        raise JobFailed(f"Input CSV is missing the following columns:[{', '.join(missing)}].")


def _typed(table: pa.Table, schema: DatasetSchema) -> pa.Table:
    columns = {field.name: _typed_column(table[field.name], field) for field in schema.fields}
    return pa.table(columns)


def _typed_column(column: pa.ChunkedArray, field: Field) -> pa.ChunkedArray:
    if column.null_count and not field.nullable:
        raise JobFailed(f"Column {field.name} has {column.null_count} empty values, but no null is allowed.")
    if field.type == "string":
        return _checked_string(column, field)
    try:
        typed = pc.cast(column, ARROW_TYPES[field.type])
    except pa.ArrowInvalid as error:
        raise JobFailed(
            f"Column {field.name} has values that are not of type {field.type}: {error}"
        ) from error
    # As for streamed rows: one infinite price would make an optimizationObjective useless.
    if pa.types.is_floating(typed.type) and not pc.all(pc.is_finite(typed), min_count=0).as_py():
        raise JobFailed(f"Column {field.name} has values that are not of type {field.type}: NaN or infinity.")
    return typed


def _checked_string(column: pa.ChunkedArray, field: Field) -> pa.ChunkedArray:
    if pc.any(pc.match_substring(column, "\n")).as_py():
        raise JobFailed(f"Column {field.name} has a line break: a record must be on one line.")
    if field.textual:
        # The service truncates a textual field instead of refusing it.
        return pc.utf8_slice_codeunits(column, 0, field.most_characters)
    longest = field.most_characters
    if _longest(column) > longest and (not field.is_multi_value or _longest(_values(column)) > longest):
        raise JobFailed(f"Length cannot be more than {longest} characters for {field.name}.")
    return column


def _values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.list_flatten(pc.split_pattern(column, "|"))


def _longest(column: pa.ChunkedArray) -> int:
    return pc.max(pc.utf8_length(column)).as_py() or 0


def read_header(content: bytes) -> list[str]:
    """Return the column names of the first row; raise `JobFailed` for none or repeated names."""
    first_line = content.removeprefix(_BOM).split(b"\n", 1)[0].rstrip(b"\r")
    try:
        names = next(csv.reader([first_line.decode()]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise JobFailed(f"Input CSV has no readable header: {error}") from error
    if not any(names):
        raise JobFailed("Input CSV has no header.")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise JobFailed(f"Input CSV has repeated columns:[{', '.join(repeated)}].")
    return names


def read_text_columns(content: bytes, names: Sequence[str]) -> pa.Table:
    """Return the named columns as strings, empty cells as nulls; raise `JobFailed` for invalid CSV."""
    content = content.removeprefix(_BOM)
    escaped = b"\\" in content
    if escaped:
        # Arrow treats a backslash as an escape everywhere, the service inside quotes only.
        content = _QUOTED_OR_BACKSLASH.sub(_for_arrow, content)
    try:
        return pa_csv.read_csv(
            pa.py_buffer(content),
            parse_options=pa_csv.ParseOptions(
                escape_char="\\" if escaped else False, newlines_in_values=True
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=list(names),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise JobFailed(f"Input CSV could not be parsed: {str(error)[:_MOST_ERROR_CHARACTERS]}") from error


def _for_arrow(match: re.Match[bytes]) -> bytes:
    text = match.group()
    if text == b"\\":
        return b"\\\\"
    return _ESCAPE.sub(_escape_for_arrow, text)


def _escape_for_arrow(match: re.Match[bytes]) -> bytes:
    # Only quotes and backslashes can be escaped; before other characters a backslash is literal.
    return match.group() if match.group(1) in b'"\\' else b"\\\\" + match.group(1)


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
