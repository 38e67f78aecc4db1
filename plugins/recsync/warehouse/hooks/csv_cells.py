"""Write rows of Python values as RFC 4180 CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from recsync.errors import FatalError

_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def csv_blocks(
    blocks: Iterable[Sequence[Sequence[Any]]], columns: Sequence[str], *, name: str, moments: bool = False
) -> Iterator[bytes]:
    """Write blocks of rows as blocks of CSV: None an empty cell, an empty text ``""``, the parts of a list with ``|``.

    :param name: the SQL file, for errors.
    :param moments: write dates and times as ISO 8601; an export refuses them.
    :raises FatalError: naming the column whose values have no one form.
    """
    cell = _cell_or_moment if moments else _cell
    for rows in blocks:
        lines = []
        for row in rows:
            try:
                lines.append(",".join(map(cell, row)))
            except TypeError as error:
                column = next((c for c, v in zip(columns, row, strict=False) if not _writable(v, cell)), "?")
                raise FatalError(f"{name}: column {column} {error}") from None
        lines.append("")
        try:
            yield "\n".join(lines).encode()
        except UnicodeEncodeError as error:
            raise FatalError(f"{name} returns a text that is no Unicode: {error.reason}.") from None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is int:
        return str(value)
    return _other(value)


def _cell_or_moment(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else _cell(value)


def _text(value: str) -> str:
    if not value:
        return '""'
    if _NEEDS_QUOTES.search(value):
        return '"' + value.replace('"', '""') + '"'
    return value


def _other(value: Any) -> str:
    if isinstance(value, bool):
        # As texts that Amazon Personalize can train on: it trains on no boolean.
        return str(value)
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str | UUID):
        return _text(str(value))
    if isinstance(value, list | tuple) and all(
        isinstance(part, str | int | Decimal | UUID) for part in value
    ):
        return _text("|".join(map(str, value)))
    if isinstance(value, datetime | date | time | timedelta):
        raise TypeError(
            f"holds times ({type(value).__name__}); Amazon Personalize takes epoch seconds: "
            "write {{ epoch('column') }}, or cast it to text where it is no timestamp."
        )
    raise TypeError(
        f"holds values of type {type(value).__name__}; cast it to text or to a number in the query."
    )


def _writable(value: Any, cell: Callable[[Any], str]) -> bool:
    try:
        cell(value)
    except TypeError:
        return False
    return True
