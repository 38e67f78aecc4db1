"""Check an exported CSV before a cent is spent on it.

https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from recsync.core.avro import AvroField, AvroSchema
from recsync.core.intervals import Interval
from recsync.core.program import DatasetType
from recsync.errors import FatalError

# Epoch seconds stay below this until the year 5138; milliseconds passed it in 1973.
MILLISECONDS_THRESHOLD = 100_000_000_000
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
MIN_INTERACTIONS = 1_000
MIN_USERS_WITH_TWO_INTERACTIONS = 25
MAX_ID_CHARACTERS = 256
_NUMBERS = {"int": pa.int64(), "long": pa.int64(), "float": pa.float64(), "double": pa.float64()}


@dataclass(frozen=True)
class CsvFigures:
    """What a check counted: rows, and users with at least two rows (interactions only)."""

    rows: int
    users_with_two_interactions: int


def check_csv(
    path: Path, schema: AvroSchema, dataset_type: DatasetType, interval: Interval, *, name: str
) -> CsvFigures:
    """Read the file once, in blocks, and check every row.

    :param name: the SQL file the rows come from, for errors.
    :raises FatalError: at the first rule that is broken, with the rule, a value and what to do.
    """
    rows = 0
    users: Counter[str] = Counter()
    for batch in _batches(path, schema, name):
        for field in schema.fields:
            _check_column(field, batch.column(field.name), name)
        if dataset_type is DatasetType.INTERACTIONS:
            _check_times(batch.column("TIMESTAMP"), interval, name)
            for pair in pc.value_counts(batch.column("USER_ID")).to_pylist():
                users[pair["values"]] += pair["counts"]
        rows += batch.num_rows
    return CsvFigures(rows, sum(1 for count in users.values() if count > 1))


def check_minimums(figures: CsvFigures, *, name: str) -> None:
    """Refuse interactions that Amazon Personalize could not train on.

    :raises FatalError: naming the minimum and what there is.
    """
    if figures.rows < MIN_INTERACTIONS:
        raise FatalError(
            f"{name} returned {figures.rows} interactions; Amazon Personalize trains on at least {MIN_INTERACTIONS}. "
            "Widen the query or wait for more data."
        )
    if figures.users_with_two_interactions < MIN_USERS_WITH_TWO_INTERACTIONS:
        raise FatalError(
            f"{name} returned {figures.users_with_two_interactions} users with at least 2 interactions; Amazon "
            f"Personalize trains on at least {MIN_USERS_WITH_TWO_INTERACTIONS}. Widen the query or wait for more data."
        )


def _batches(path: Path, schema: AvroSchema, name: str) -> pv.CSVStreamingReader:
    types = {field.name: _NUMBERS.get(field.type, pa.string()) for field in schema.fields}
    try:
        yield from pv.open_csv(
            path,
            # The escape that Personalize reads; PostgreSQL is told to write it.
            parse_options=pv.ParseOptions(escape_char="\\", double_quote=False, newlines_in_values=True),
            convert_options=pv.ConvertOptions(
                column_types=types,
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise FatalError(
            f"{name} returns a value that the schema does not allow: {error}. Cast or clean it."
        ) from None


def _check_column(field: AvroField, column: pa.Array, name: str) -> None:
    if not field.nullable and column.null_count:
        raise FatalError(
            f"{name} returns {column.null_count} row(s) without {field.name}, which the schema says is never null. "
            "Leave such rows out or make the field a union with null."
        )
    if field.name in ("USER_ID", "ITEM_ID") and len(column):
        lengths = pc.utf8_length(column)
        if pc.min(lengths).as_py() == 0 or pc.max(lengths).as_py() > MAX_ID_CHARACTERS:
            raise FatalError(
                f"{name} returns a {field.name} that is empty or over {MAX_ID_CHARACTERS} characters."
            )


def _check_times(times: pa.Array, interval: Interval, name: str) -> None:
    if not len(times):
        return
    bounds = pc.min_max(times).as_py()
    for moment in (bounds["max"], bounds["min"]):
        if moment > MILLISECONDS_THRESHOLD:
            raise FatalError(
                f"{name} returns TIMESTAMP {moment}, which looks like milliseconds; Amazon Personalize wants epoch "
                "seconds. Use e.g. floor(extract(epoch FROM ts))::bigint, or divide by 1000."
            )
        if not interval.start.timestamp() <= moment < interval.end.timestamp():
            raise FatalError(
                f"{name} returns TIMESTAMP {moment}, outside the interval [{interval.start.isoformat()}, "
                f"{interval.end.isoformat()}). Filter with data_interval_start and data_interval_end, and floor, "
                "do not round, to seconds."
            )
