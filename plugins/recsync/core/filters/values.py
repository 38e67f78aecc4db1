r"""Write the values of one person as ``filterValues`` of an input line: ``{"GENRES": "\"horror\",\"comedy\""}``.

https://docs.aws.amazon.com/personalize/latest/dg/filter-batch.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.core.local_disk import quoted_path
from recsync.errors import FatalError

# "filterValues": https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html
MAX_CHARACTERS = 1000
VALUES = pa.schema([("user_id", pa.string()), ("filter_values", pa.string())])
"""Each person's ``filterValues`` as JSON."""

_BATCH_ROWS = 10_000


def filter_values(given: Mapping[str, Any]) -> dict[str, str]:
    """Turn what an audience row holds into ``filterValues``.

    Texts are put in double quotes, those of a list one after another; numbers stand as digits, moments as epoch
    seconds (days at their beginning in UTC), booleans as ``"True"`` and ``"False"``. What is NULL, empty or an empty
    list is left out: to the service an EXCLUDE without its value does nothing, and an INCLUDE fails the line.

    :param given: value by placeholder.
    :raises ValueError: for a value that cannot be written so, naming the placeholder and not the value.
    """
    written = {}
    for name, value in given.items():
        parts = [_written(name, part) for part in _parts(value) if part is not None and part != ""]
        if parts:
            written[name] = ",".join(parts)
            if len(written[name]) > MAX_CHARACTERS:
                raise ValueError(f"${name} is longer than the {MAX_CHARACTERS} characters of a filter value")
    return written


def _parts(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple | set | frozenset) else (value,)


def _written(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        return str(int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()))
    if isinstance(value, date):
        return str(int(datetime.combine(value, time(), UTC).timestamp()))
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Decimal | Real) and not isinstance(value, bool):
        return _digits(name, Decimal(str(value)))
    text = str(value)
    if '"' in text:
        raise ValueError(
            f"${name} holds a double quote, which a filter value cannot; take it out in the query"
        )
    return f'"{text}"'


def _digits(name: str, value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError(f"${name} is no finite number")
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def keep_values(
    rows: Iterable[tuple[Any, ...]],
    columns: Sequence[str],
    values: Mapping[str, str],
    target: Path,
    *,
    name: str,
) -> Iterator[tuple[Any, ...]]:
    """Pass on the rows of ``audience.sql`` and write each person's values (``VALUES``) on the way.

    :param columns: names of the values in a row; ``user_id`` and those of ``values`` are among them.
    :param values: column by placeholder.
    :param name: the SQL file, for errors.
    :raises FatalError: for a value that a filter cannot have.
    """
    place = {column: number for number, column in enumerate(columns)}
    iterator = iter(rows)
    with pq.ParquetWriter(target, VALUES, compression="zstd") as writer:
        while block := list(islice(iterator, _BATCH_ROWS)):
            texts = [_json({p: row[place[c]] for p, c in values.items()}, values, name) for row in block]
            users = [str(row[place["user_id"]]) for row in block]
            writer.write_batch(pa.RecordBatch.from_arrays([pa.array(users), pa.array(texts)], schema=VALUES))
            yield from block


def _json(given: Mapping[str, Any], values: Mapping[str, str], name: str) -> str:
    try:
        return json.dumps(filter_values(given))
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
