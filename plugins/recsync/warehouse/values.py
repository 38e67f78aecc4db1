"""Parse the values that a warehouse writes as text, and state the limits of Amazon Personalize."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from braze_client.payloads import (
    CATALOG_KEY_FORBIDDEN,
    MAX_CATALOG_ARRAY_ELEMENTS,
    MAX_CATALOG_LEVELS,
    MAX_CATALOG_VALUE_CHARACTERS,
    dumps,
)
from recsync.program.intervals import Interval
from recsync.warehouse.column_types import Kind

# https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html
MAX_ID_CHARACTERS = 256
MAX_TEXT_CHARACTERS = 1_000
MAX_TEXTUAL_CHARACTERS = 20_000
# Control characters, the quote, the byte order mark.
ID_FORBIDDEN = '[\\x00-\\x1f"\\x7f-\\x{9f}\\x{feff}]'

# Reserved names of fields, which are not allowed as values.
# https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
KEYWORDS = (
    "USER_ID",
    "ITEM_ID",
    "TIMESTAMP",
    "EVENT_TYPE",
    "EVENT_VALUE",
    "IMPRESSION",
    "RECOMMENDATION_ID",
    "EVENT_ATTRIBUTION_SOURCE",
    "CREATION_TIMESTAMP",
)
KEYWORD_LETTER = b"E"  # all of them contain it
WHOLE_NUMBER = "^-?[0-9]{1,18}$"
DECIMAL_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
MAX_FLOAT = 3.4028234663852886e38  # IEEE 754 single precision
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1

# Epoch seconds of 1973 to 5138 are in this range; the same times in milliseconds start at its end, and so on.
SECONDS_FROM = 100_000_000
MILLISECONDS_FROM = 100_000_000_000
MICROSECONDS_FROM = 100_000_000_000_000
NANOSECONDS_FROM = 100_000_000_000_000_000


def time_unit(moment: int) -> str:
    """Return the unit in which a number is a recent time."""
    if moment >= NANOSECONDS_FROM:
        return "nanoseconds"
    if moment >= MICROSECONDS_FROM:
        return "microseconds"
    return "milliseconds" if moment >= MILLISECONDS_FROM else "a unit larger than seconds"


@dataclass(frozen=True)
class TimeRange:
    """The allowed epoch seconds, both ends included."""

    first: int
    last: int

    @classmethod
    def of(cls, interval: Interval, select_by: Literal["event_time", "ingestion_time"]) -> TimeRange:
        """Return the range of an interval; rows selected by ingestion time may have any earlier event time."""
        start, end = int(interval.start.timestamp()), int(interval.end.timestamp())
        return cls(start, end - 1) if select_by == "event_time" else cls(LONG_MIN, end)


_NUMBER = re.compile(DECIMAL_NUMBER)
# The booleans of PostgreSQL, which include those of every other warehouse.
# https://www.postgresql.org/docs/current/datatype-boolean.html
_BOOLEANS = {
    **dict.fromkeys(("t", "true", "y", "yes", "on", "1"), True),
    **dict.fromkeys(("f", "false", "n", "no", "off", "0"), False),
}
_EPOCH_SECONDS = re.compile(r"[0-9]{9,11}")
# Python does not parse a blank before the zone.
_ZONE_BLANK = re.compile(r" (?=(?:Z|[+-][0-9:]{2,6})$)")
# The last year of a Braze time.
_LAST_YEAR = 3000
_EXACT_BELOW = 2**53
# JSON readers do not parse longer numbers.
_MAX_DIGITS = 300


def boolean(text: str) -> bool:
    """Parse a boolean, or raise ValueError."""
    found = _BOOLEANS.get(text.strip().casefold())
    if found is None:
        raise ValueError("no boolean")
    return found


def number(text: str) -> int | float:
    """Parse a finite number, or raise ValueError; a whole number stays exact."""
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
    # 2 and 2.0 are the same price, and Braze may return either.
    return int(found) if abs(found) < _EXACT_BELOW and found == int(found) else found


def moment(text: str) -> datetime:
    """Parse a date or time in ISO 8601, or epoch seconds; without a zone it is UTC.

    :raises ValueError: also for years outside 1 to 3000.
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
    """Parse a list, as JSON or joined with ``|``; any other value is a list of one.

    :raises ValueError: for invalid JSON.
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


def _array(text: str, kind: Kind) -> list[str]:
    """Parse an array of texts as a Braze catalog takes it; numbers and booleans become texts."""
    if kind is Kind.ARRAY:
        found = parts(text, kind)
    else:
        found = _loaded(text)
        if not isinstance(found, list):
            raise ValueError("no array")
    texts = [_text_of(element) for element in found]
    if len(texts) > MAX_CATALOG_ARRAY_ELEMENTS:
        raise ValueError("too many elements")
    _check_size(texts)
    return texts


def _object(text: str, kind: Kind) -> dict[str, Any]:
    """Parse a JSON object as a Braze catalog takes it."""
    found = _loaded(text)
    if not isinstance(found, dict):
        raise ValueError("no object")
    _check_keys(found, 1)
    _check_size(found)
    return found


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _text_of(element: Any) -> str:
    if isinstance(element, str):
        return element
    if isinstance(element, bool | int | float):
        return dumps(element).decode()
    raise ValueError("no text")


def _check_keys(value: Any, level: int) -> None:
    if level > MAX_CATALOG_LEVELS:
        raise ValueError("nested too deep")
    if isinstance(value, dict) and any(map(CATALOG_KEY_FORBIDDEN.search, value)):
        raise ValueError("a key with . or $")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _check_keys(child, level + 1)


def _check_size(value: Any) -> None:
    # What JSON cannot hold, such as NaN or half a surrogate pair, is a ValueError here.
    if len(dumps(value).decode()) > MAX_CATALOG_VALUE_CHARACTERS:
        raise ValueError("too long")


_BY_BRAZE_TYPE: Mapping[str, Callable[[str, Kind], Any]] = {
    "string": _string,
    "number": lambda text, _: number(text),
    "boolean": lambda text, _: boolean(text),
    "time": _moment,
    "array": _array,
    "object": _object,
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
    """Return the parser of a column's texts, which returns JSON values or raises ValueError.

    :param braze_type: the declared type of a Braze catalog field; None for the type in the warehouse.
    """
    convert = _BY_BRAZE_TYPE[braze_type] if braze_type else _BY_KIND.get(kind, _string)
    texts = convert is _string

    def converted(text: str | None) -> Any:
        # Some warehouses write NULL as an empty text, and only a text can be empty.
        if text is None or (not text and not texts):
            return None
        return convert(text, kind)

    return converted
