"""Write rows as Arrow batches of texts, and these as CSV. A value has the same text whatever the driver's types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from recsync.errors import FatalError

BATCH_ROWS = 10_000
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def text_rows(
    blocks: Iterable[Sequence[Sequence[Any]]], columns: Sequence[str], *, name: str, moments: bool = False
) -> Iterator[pa.RecordBatch]:
    """Convert a driver's rows into batches of texts; join the parts of a list with ``|``.

    :param columns: the names in the batches.
    :param name: the SQL file, for errors.
    :param moments: write dates and times as ISO 8601 instead of refusing them.
    :raises FatalError: naming the column with values that cannot be written.
    """
    for rows in blocks:
        # zip(*rows) takes twenty times as long: it goes through thousands of iterators for each column.
        texts = [
            _texts([row[place] for row in rows], column, name, moments)
            for place, column in enumerate(columns)
        ]
        yield pa.RecordBatch.from_arrays(texts, list(columns))


def _texts(values: Sequence[Any], column: str, name: str, moments: bool) -> pa.Array:
    try:
        kinds = set(map(type, values)) - {NoneType}
        if kinds <= {str}:
            return pa.array(values, pa.string())
        if kinds == {int}:
            return pa.array([value if value is None else str(value) for value in values], pa.string())
        return pa.array([None if value is None else _text(value, moments) for value in values], pa.string())
    except TypeError as error:
        raise FatalError(f"{name}: column {column} {error}") from None
    except UnicodeEncodeError as error:
        raise FatalError(
            f"{name} returns a text that is not valid Unicode ({error.reason}); correct or remove it in the query."
        ) from None


def _text(value: Any, moments: bool) -> str:
    if isinstance(value, bool | str | int | UUID):
        # Booleans as texts, because Amazon Personalize does not train on booleans.
        return str(value)
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, list | tuple) and all(
        isinstance(part, str | int | Decimal | UUID) for part in value
    ):
        return "|".join(map(str, value))
    if moments and isinstance(value, date):
        return value.isoformat()
    if isinstance(value, datetime | date | time | timedelta):
        raise TypeError(
            f"holds times ({type(value).__name__}); Amazon Personalize takes epoch seconds: "
            "write {{ epoch('column') }}, or cast it to text where it is no timestamp."
        )
    raise TypeError(
        f"holds values of type {type(value).__name__}; cast it to text or to a number in the query."
    )


def as_texts(batch: pa.RecordBatch, columns: Sequence[str], *, name: str) -> pa.RecordBatch:
    """Cast the columns of a batch to texts, under other names.

    :param name: the SQL file, for errors.
    :raises FatalError: naming the column with values that have no text.
    """
    texts = []
    for column, values in zip(columns, batch.columns, strict=True):
        try:
            texts.append(values.cast(pa.string()))
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            raise FatalError(
                f"{name}: column {column} holds values of type {values.type}; cast it to text in the query."
            ) from None
    return pa.RecordBatch.from_arrays(texts, list(columns))


def csv_block(batch: pa.RecordBatch) -> bytes:
    """Write a batch of texts as RFC 4180: NULL is an empty cell, an empty text ``""``; quotes only where needed."""
    if not batch.num_rows:
        return b""
    lines = pc.binary_join_element_wise(*map(_cells, batch.columns), ",")
    ended = pc.binary_join_element_wise(lines, pa.scalar("\n"), "")
    # The data buffer of a string array is its texts without gaps: the CSV.
    return bytes(ended.buffers()[2])


def _cells(values: pa.Array) -> pa.Array:
    special = pc.or_(pc.equal(values, ""), pc.match_substring_regex(values, _NEEDS_QUOTES.pattern))
    if pc.any(special).as_py():
        quote = pa.scalar('"')
        doubled = pc.replace_substring(values, '"', '""')
        values = pc.if_else(special, pc.binary_join_element_wise(quote, doubled, quote, ""), values)
    return pc.fill_null(values, "")


class CsvBlocks:
    """A stream of the CSV of batches of texts."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._blocks = filter(None, map(csv_block, batches))
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; none at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)
