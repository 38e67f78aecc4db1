"""Braze's filters: those that its documentation lists, and no others.

https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/liquid/filters/
https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/liquid/advanced_filters/
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus
from zoneinfo import ZoneInfo

from dateutil import parser
from liquid import Environment, RenderContext, is_undefined
from liquid.exceptions import FilterArgumentError
from liquid.filter import num_arg, with_context

NOW = "braze_now"
"""Variable of the render context that holds the time of sending."""
# Of Shopify's; Braze documents lstrip, rstrip, find_index and others as not supported, and the rest not at all.
_SHOPIFY = frozenset(
    {
        "abs", "append", "at_least", "at_most", "base64_decode", "base64_encode", "capitalize", "ceil",
        "compact", "concat", "date", "default", "divided_by", "downcase", "escape", "escape_once", "first",
        "floor", "join", "last", "map", "minus", "modulo", "newline_to_br", "plus", "prepend", "remove",
        "remove_first", "replace", "replace_first", "reverse", "round", "size", "slice", "sort",
        "sort_natural", "split", "strip", "strip_html", "strip_newlines", "times", "truncate",
        "truncatewords", "uniq", "upcase", "url_decode", "url_encode", "where",
    }
)  # fmt: skip


def install(env: Environment) -> None:
    """Leave the filters that Braze documents in an environment."""
    env.filters = {name: env.filters[name] for name in _SHOPIFY} | dict(_BRAZE)


def _number(value: object) -> float | int:
    return num_arg(value, default=0)


def _rounded(value: object, digits: object = 0) -> float | int:
    """Round half away from zero as Ruby does; Python rounds half to even."""
    number, places = _number(value), int(_number(digits))
    scaled = abs(float(number)) * 10**places
    # A product such as 1.005 * 100 is a little below the half that a person sees.
    whole = math.floor(scaled + 0.5 + 1e-9)
    signed = math.copysign(whole, number)
    return int(signed) if places <= 0 else signed / 10**places


def _money(value: object) -> str:
    """Write two decimal places; without Shopify's division by 100, and without a symbol."""
    return f"{_number(value):.2f}"


def _with_delimiter(value: object) -> str:
    whole, point, decimals = str(value).partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{point}{decimals}" if digits.isdecimal() else str(value)


def _property(value: object, key: object) -> object:
    return value.get(key) if isinstance(value, Mapping) else None


def _hashed(algorithm: str) -> Callable[[object], str]:
    return lambda value: hashlib.new(algorithm, str(value).encode(), usedforsecurity=False).hexdigest()


def _signed(algorithm: str, *, encoded: bool = False) -> Callable[[object, object], str]:
    def sign(value: object, key: object) -> str:
        made = hmac.new(str(key).encode(), str(value).encode(), algorithm)
        return base64.b64encode(made.digest()).decode() if encoded else made.hexdigest()

    return sign


def moment(value: object, now: datetime) -> datetime | None:
    """Read a time as Liquid does: "now", seconds since 1970, or a text; without a zone it is UTC."""
    if value in ("now", "today"):
        return now
    if isinstance(value, datetime):
        return value
    if isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()):
        return datetime.fromtimestamp(float(value), UTC)
    try:
        read: datetime = parser.parse(str(value))
    except (parser.ParserError, OverflowError):
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _now(context: RenderContext) -> datetime:
    now = context.resolve(NOW)
    return now if isinstance(now, datetime) else datetime.now(UTC)


@with_context
def _date(value: object, form: object = "", *, context: RenderContext) -> str:
    if value is None or is_undefined(value) or value == "":
        return ""
    read = moment(value, _now(context))
    if read is None or not form or is_undefined(form):
        return str(value)
    # Python's %s reads a time in the machine's own zone.
    return read.strftime(str(form).replace("%s", str(int(read.timestamp()))))


@with_context
def _time_zone(value: object, name: object, *, context: RenderContext) -> object:
    read = moment(value, _now(context))
    try:
        return value if read is None else read.astimezone(ZoneInfo(str(name)))
    except (KeyError, ValueError, OSError):
        raise FilterArgumentError(f"time_zone: there is no time zone {name}", token=None) from None


_BRAZE: Mapping[str, Callable[..., Any]] = {
    "base64": lambda value: base64.b64encode(str(value).encode()).decode(),
    "date": _date,
    "hmac_sha1": _signed("sha1"),
    "hmac_sha1_base64": _signed("sha1", encoded=True),
    "hmac_sha1_hex": _signed("sha1"),
    "hmac_sha256": _signed("sha256"),
    "hmac_sha256_base64": _signed("sha256", encoded=True),
    "hmac_sha256_hex": _signed("sha256"),
    "hmac_sha512": _signed("sha512"),
    "json_escape": lambda value: json.dumps(str(value), ensure_ascii=False)[1:-1],
    "md5": _hashed("md5"),
    "money": _money,
    "number_with_delimiter": _with_delimiter,
    "property_accessor": _property,
    "round": _rounded,
    "sha1": _hashed("sha1"),
    "sha2": _hashed("sha256"),
    "time_zone": _time_zone,
    "url_encode": lambda value: quote_plus(str(value)),
    "url_escape": lambda value: quote(str(value), safe="!#$&'()*+,/:;=?@[]"),
    "url_param_escape": lambda value: quote(str(value), safe=""),
}
