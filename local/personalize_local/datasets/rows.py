"""Type and check the rows of one import, in the words in which the service fails a job.

Rules: https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from personalize_local.datasets.avro import DatasetSchema, Field
from personalize_local.datasets.csv_text import read_header, read_text_columns
from personalize_local.errors import JobFailed

ARROW_TYPES = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
_IDS = frozenset({"USER_ID", "ITEM_ID", "ACTION_ID"})
# Lengths: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MOST_ID_CHARACTERS = 256
_MOST_STRING_CHARACTERS = 1000
_MOST_TEXTUAL_CHARACTERS = 20_000


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
    # As for streamed rows: one infinite price would leave nothing of an optimizationObjective.
    if pa.types.is_floating(typed.type) and not pc.all(pc.is_finite(typed), min_count=0).as_py():
        raise JobFailed(f"Column {field.name} has values that are not of type {field.type}: NaN or infinity.")
    return typed


def _checked_string(column: pa.ChunkedArray, field: Field) -> pa.ChunkedArray:
    if pc.any(pc.match_substring(column, "\n")).as_py():
        raise JobFailed(f"Column {field.name} has a line break: a record must be on one line.")
    if field.textual:
        # The service cuts a textual field instead of refusing it.
        return pc.utf8_slice_codeunits(column, 0, _MOST_TEXTUAL_CHARACTERS)
    longest = _MOST_ID_CHARACTERS if field.name in _IDS else _MOST_STRING_CHARACTERS
    if _longest(column) > longest and (not _is_multi_value(field) or _longest(_values(column)) > longest):
        raise JobFailed(f"Length cannot be more than {longest} characters for {field.name}.")
    return column


def _is_multi_value(field: Field) -> bool:
    return field.categorical or field.name == "IMPRESSION"


def _values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.list_flatten(pc.split_pattern(column, "|"))


def _longest(column: pa.ChunkedArray) -> int:
    return pc.max(pc.utf8_length(column)).as_py() or 0
