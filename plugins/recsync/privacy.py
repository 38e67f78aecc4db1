"""Take ids and record content out of texts that people read: errors, logs, XCom and alerts.

Services and database drivers quote the value that they refuse. What they say about a field, a table or a limit is
shown; the value is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

WITHHELD = "[withheld]"

# What databases add about one row: DETAIL and CONTEXT of PostgreSQL, "context:" of Redshift.
# https://www.postgresql.org/docs/current/protocol-error-fields.html
_ABOUT_A_ROW = re.compile(r"(?im)^\s*(?:detail|context)\s*:.*$")
_QUOTED = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\u201c[^\u201d]*\u201d|\u2018[^\u2019]*\u2019"""
    r"""|(?<=\)=)\([^)]*\)|(?<=\bvalue )[^\s,;)'"]+"""
)
_NAMED = re.compile(
    r"(?i)\b(?:relation|table|view|column|schema|database|role|function|object|constraint|type)\s+$"
)
_ADDRESS = re.compile(r"[^\s<>\"'=:,;()]+@[^\s<>\"'=:,;()]+")
_WORD = re.compile(r"[^\W_](?:[\w$.-]*\w)?|\w+")


def withhold(text: str, values: Iterable[Any]) -> str:
    """Replace each of these values where it is in a text, as a whole word.

    :param values: what a request held: ids, items, attribute values; nested lists and objects are walked.
    """
    found = {one for one in _texts(values) if one.strip() and one in text}
    if not found:
        return text
    pattern = "|".join(re.escape(one) for one in sorted(found, key=len, reverse=True))
    return re.sub(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", WITHHELD, text)


def withhold_literals(text: str, known: str = "") -> str:
    """Replace what a database quotes from a row, and keep what it quotes from the query.

    :param text: of a driver, about a query.
    :param known: the query; a quoted text all of whose words stand in it is shown, as are names of tables and columns.
    """
    words = {word.casefold() for word in _WORD.findall(known)}

    def shown(match: re.Match[str]) -> str:
        quoted = match[0]
        if _NAMED.search(text[: match.start()]):
            return quoted
        inner = _WORD.findall(quoted)
        if inner and all(word.casefold() in words for word in inner):
            return quoted
        return WITHHELD if len(quoted) > 2 else quoted

    text = _ABOUT_A_ROW.sub("", text)
    return _ADDRESS.sub(WITHHELD, _QUOTED.sub(shown, text)).strip()


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, Iterable):
        for one in value:
            yield from _texts(one)
    else:
        yield str(value)
