"""Jinja2 environment of the pages: autoescape, visible control characters, and filters for figures and times."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup

from recsync.formatting import percent

# A warehouse may hold megabytes in one cell.
VALUE_CHARACTERS_MAX = 200
DAY_SECONDS = 24 * 3600
# Control, format (among them the marks that turn the reading direction), surrogate and line separating characters.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def environment(*folders: Path) -> Environment:
    """Return an environment of the templates in this folder and in others."""
    made = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        finalize=_finalize,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for write in (duration, iso_moment, moment, number, rows, share, value):
        made.filters[write.__name__] = write
    return made


def visible(text: str) -> str:
    """Escape invisible characters and those that reorder the text around them.

    >>> visible("a\\u202eb")
    'a\\\\u202eb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _INVISIBLE else c for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _finalize(content: Any) -> Any:
    """Prepare what an expression of a template gives; Jinja2 escapes it afterwards unless it is markup."""
    if content is None:
        return ""
    return content if hasattr(content, "__html__") else visible(str(content))


def value(content: Any) -> Markup:
    """Mark a value of the warehouse up as code; None as a dash."""
    if content is None or isinstance(content, ChainableUndefined):
        return Markup('<span class="soft">—</span>')
    shown = str(content)
    if not shown:
        return Markup('<span class="soft">(empty)</span>')
    if len(shown) > VALUE_CHARACTERS_MAX:
        shown = shown[:VALUE_CHARACTERS_MAX] + "…"
    return Markup('<code><bdi dir="auto">{}</bdi></code>').format(visible(shown))


def is_number(content: Any) -> bool:
    """Return whether a field of a report, which may hold anything, is a number."""
    return isinstance(content, int | float) and not isinstance(content, bool)


def number(content: Any) -> str:
    """Write a number with thousands separators; None as a dash."""
    if not is_number(content):
        return value(content)
    return f"{content:,.0f}" if isinstance(content, int) or abs(content) >= 1000 else f"{content:.4g}"


def rows(count: int) -> str:
    """Write a number of rows."""
    return "1 row" if count == 1 else f"{count:,} rows"


def share(part: Any) -> str:
    """Write a share of 0 to 1 in percent; None as a dash."""
    return percent(part) if is_number(part) else value(part)


def duration(seconds: Any) -> str:
    """Write a length of time in seconds, hours or days.

    >>> duration(310), duration(7_500), duration(200_000)
    ('310 s', '2.1 h', '2.3 days')
    """
    if not is_number(seconds):
        return value(seconds)
    for unit_seconds, unit in ((DAY_SECONDS, "days"), (3600, "h")):
        if seconds >= 2 * unit_seconds:
            return f"{seconds / unit_seconds:.1f} {unit}"
    return f"{seconds:,.0f} s"


def moment(seconds: Any) -> str:
    """Write epoch seconds as ``2026-11-22 05:00:00 UTC``; a number out of range stays a number."""
    found = utc(seconds)
    return f"{found:%Y-%m-%d %H:%M:%S} UTC" if found else number(seconds)


def iso_moment(content: Any) -> str:
    """Write an ISO 8601 time as ``2026-11-22 05:00:00 UTC``."""
    try:
        found = datetime.fromisoformat(str(content))
    except ValueError:
        return value(content)
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def utc(seconds: Any) -> datetime | None:
    """Return the time of epoch seconds; None for anything else, such as microseconds."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if is_number(seconds) else None
    except (OverflowError, ValueError, OSError):
        return None
