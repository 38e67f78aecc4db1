r"""Write the values of one person as ``filterValues`` of an input line: ``{"GENRES": "\"horror\",\"comedy\""}``.

https://docs.aws.amazon.com/personalize/latest/dg/filter-batch.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.errors import FatalError
from recsync.storage.local_disk import quoted_path
from recsync.warehouse.query_columns import Kind
from recsync.warehouse.texts import moment, parts

# "filterValues": https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html
MAX_CHARACTERS = 1000
VALUES = pa.schema([("user_id", pa.string()), ("filter_values", pa.string())])
"""Each person's ``filterValues`` as JSON."""


def filter_values(given: Mapping[str, str | None], kinds: Mapping[str, Kind]) -> dict[str, str]:
    """Turn what an audience row holds into ``filterValues``.

    Texts are put in double quotes, those of a list one after another; numbers stand as digits, moments as epoch
    seconds (days at their beginning in UTC), booleans in the warehouse's own text, as in an exported text field. What
    is NULL, empty or an empty list is left out: to the service an EXCLUDE without its value does nothing, and an
    INCLUDE fails the line.

    :param given: the warehouse's text by placeholder.
    :param kinds: what the columns are, by placeholder.
    :raises ValueError: for a value that cannot be written so, naming the placeholder and not the value.
    """
    written = {}
    for name, text in given.items():
        if text is None:
            continue
        values = [_written(name, part, kinds[name]) for part in _parts(name, text, kinds[name])]
        if values:
            written[name] = ",".join(values)
            if len(written[name]) > MAX_CHARACTERS:
                raise ValueError(f"${name} is longer than the {MAX_CHARACTERS} characters of a filter value")
    return written


def _parts(name: str, text: str, kind: Kind) -> list[Any]:
    try:
        return [part for part in parts(text, kind) if part not in {None, ""}]
    except (ValueError, TypeError):
        raise ValueError(f"${name} is no text and no list of texts or numbers") from None


def _written(name: str, part: Any, kind: Kind) -> str:
    if isinstance(part, int | float) and not isinstance(part, bool):
        return _digits(name, str(part))
    text = str(part)
    if kind is Kind.MOMENT:
        try:
            return str(int(moment(text).timestamp()))
        except ValueError:
            raise ValueError(f"${name} is no time of the years 1 to 3000") from None
    if kind in {Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT}:
        return _digits(name, text)
    if '"' in text:
        raise ValueError(
            f"${name} holds a double quote, which a filter value cannot; take it out in the query"
        )
    return f'"{text}"'


def _digits(name: str, text: str) -> str:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise ValueError(f"${name} is no finite number")
    digits = f"{found:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def keep_values(
    batches: Iterable[pa.RecordBatch],
    values: Mapping[str, str],
    kinds: Mapping[str, Kind],
    target: Path,
    *,
    name: str,
) -> Iterator[pa.RecordBatch]:
    """Pass on the rows of ``audience.sql`` and write each person's values (``VALUES``) on the way.

    :param batches: texts; ``user_id`` and the columns of ``values`` are among them.
    :param values: column by placeholder.
    :param kinds: what the columns are, by placeholder.
    :param name: the SQL file, for errors.
    :raises FatalError: for a value that a filter cannot have.
    """
    with pq.ParquetWriter(target, VALUES, compression="zstd") as writer:
        for batch in batches:
            rows = zip(*(batch[column].to_pylist() for column in values.values()), strict=True)
            texts = [_json(dict(zip(values, row, strict=True)), values, kinds, name) for row in rows]
            writer.write_batch(
                pa.RecordBatch.from_arrays([batch["user_id"], pa.array(texts, pa.string())], schema=VALUES)
            )
            yield batch


def _json(
    given: Mapping[str, str | None], values: Mapping[str, str], kinds: Mapping[str, Kind], name: str
) -> str:
    try:
        return json.dumps(filter_values(given, kinds))
    except ValueError as error:
        raise FatalError(
            f"{name} returns a value that filters.recommend cannot use: {error}. ({dict(values)})"
        ) from None


def add_values(connection: duckdb.DuckDBPyConnection, lines: Path, values: Path, *, lists: bool) -> None:
    """Add each person's ``filterValues`` to the lines of a job's input, which are sorted by person.

    A person who stands in the audience twice, with different values, gets one of them, each time the same.

    :param lines: JSON lines with ``userId``.
    :param lists: whether they hold an ``itemList`` too.
    """
    plain = lines.with_suffix(".plain")
    lines.rename(plain)
    columns = "{'userId': 'VARCHAR'" + (", 'itemList': 'VARCHAR[]'}" if lists else "}")
    connection.execute(
        f"""
        COPY (
            SELECT lines.*, coalesce(given.filter_values, '{{}}')::JSON AS "filterValues"
            FROM read_json({quoted_path(plain)}, columns = {columns}, format = 'newline_delimited') lines
            LEFT JOIN (
                SELECT user_id, min(filter_values) AS filter_values FROM read_parquet({quoted_path(values)})
                GROUP BY user_id
            ) given ON given.user_id = lines."userId"
            ORDER BY lines."userId"
        ) TO {quoted_path(lines)} (FORMAT json)
        """
    )
    plain.unlink()
