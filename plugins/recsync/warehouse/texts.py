"""Read values from the text that a warehouse writes of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from recsync.warehouse.query_columns import Kind
from recsync.warehouse.values import DECIMAL_NUMBER, MILLISECONDS_FROM, SECONDS_FROM

_NUMBER = re.compile(DECIMAL_NUMBER)
# What PostgreSQL reads as a boolean, which holds what every other warehouse writes.
# https://www.postgresql.org/docs/current/datatype-boolean.html
_BOOLEANS = {
    **dict.fromkeys(("t", "true", "y", "yes", "on", "1"), True),
    **dict.fromkeys(("f", "false", "n", "no", "off", "0"), False),
}
_EPOCH_SECONDS = re.compile(r"[0-9]{9,11}")
# Python reads neither a blank before the zone nor one around the T.
_ZONE_BLANK = re.compile(r" (?=(?:Z|[+-][0-9:]{2,6})$)")
# Braze keeps no year above this one as a time.
_LAST_YEAR = 3000
_EXACT_BELOW = 2**53
# More are no number to JSON readers.
_MAX_DIGITS = 300


def boolean(text: str) -> bool:
    """Read a boolean.

    :raises ValueError: when it is none.
    """
    found = _BOOLEANS.get(text.strip().casefold())
    if found is None:
        raise ValueError("no boolean")
    return found


def number(text: str) -> int | float:
    """Read a finite number; a whole one stays exact, whatever its length.

    :raises ValueError: when it is none.
    """
    text = text.strip()
    if not _NUMBER.match(text):
        raise ValueError("no finite number")
    whole, point, places = text.partition(".")
    if not point or not places.strip("0"):
        digits = whole.removeprefix("+").removeprefix("-")
        if digits.isdigit() and len(digits) <= _MAX_DIGITS:
            return int(whole)
    found = float(text)
    if not math.isfinite(found):
        raise ValueError("no finite number")
    # 2 and 2.0 are the same price; which of the two Braze gives back is not ours to decide.
    return int(found) if abs(found) < _EXACT_BELOW and found == int(found) else found


def moment(text: str) -> datetime:
    """Read a date, a time of a day in any notation of ISO 8601, or epoch seconds; without a zone it is UTC.

    :raises ValueError: when it is none, or outside the years 1 to 3000.
    """
    text = text.strip()
    if _EPOCH_SECONDS.fullmatch(text) and SECONDS_FROM <= int(text) < MILLISECONDS_FROM:
        return datetime.fromtimestamp(int(text), UTC)
    try:
        found = datetime.fromisoformat(_ZONE_BLANK.sub("", text))
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("no time") from None
    if found.year > _LAST_YEAR:
        raise ValueError("no time")
    return found


def parts(text: str, kind: Kind) -> list[Any]:
    """Read the parts of a list: of JSON, or of texts joined with ``|``; of any other text the one that it is.

    :raises ValueError: when it is neither.
    """
    if kind not in {Kind.ARRAY, Kind.JSON}:
        return [text]
    if kind is Kind.ARRAY and not text.startswith("["):
        return text.split("|")
    found = json.loads(text)
    return found if isinstance(found, list) else [found]


def _string(text: str, kind: Kind) -> str:
    if kind is Kind.BOOLEAN:
        return "true" if boolean(text) else "false"
    return text


def _moment(text: str, kind: Kind) -> str:
    return moment(text).isoformat()


def _json(text: str, kind: Kind) -> Any:
    return parts(text, kind) if kind is Kind.ARRAY else json.loads(text)


_BY_BRAZE_TYPE: Mapping[str, Callable[[str, Kind], Any]] = {
    "string": _string,
    "number": lambda text, _: number(text),
    "boolean": lambda text, _: boolean(text),
    "time": _moment,
}
_BY_KIND: Mapping[Kind, Callable[[str, Kind], Any]] = {
    Kind.INTEGER: _BY_BRAZE_TYPE["number"],
    Kind.DECIMAL: _BY_BRAZE_TYPE["number"],
    Kind.FLOAT: _BY_BRAZE_TYPE["number"],
    Kind.BOOLEAN: _BY_BRAZE_TYPE["boolean"],
    Kind.MOMENT: _moment,
    Kind.ARRAY: _json,
    Kind.JSON: _json,
}


def converter(kind: Kind, braze_type: str | None = None) -> Callable[[str | None], Any]:
    """Return what turns the texts of a column into what JSON can hold; it raises ValueError for a bad value.

    :param braze_type: the declared type of a Braze catalog field; None: the value is what the warehouse says it is.
    """
    convert = _BY_BRAZE_TYPE[braze_type] if braze_type else _BY_KIND.get(kind, _string)
    texts = convert is _string

    def converted(text: str | None) -> Any:
        # Not every warehouse tells an empty text from NULL, and only a text can be empty.
        if text is None or (not text and not texts):
            return None
        return convert(text, kind)

    return converted
