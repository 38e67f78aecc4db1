"""Remove ids and record content from errors, logs, XCom and alerts.

Services and database drivers quote values that they refuse. Names of fields, tables and limits stay; values do not.
"""

from __future__ import annotations

import re

from braze_client.errors import WITHHELD, withhold

__all__ = ["WITHHELD", "withhold", "withhold_literals"]

# Lines about one row: DETAIL and CONTEXT of PostgreSQL, "context:" of Redshift.
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


def withhold_literals(text: str, known: str = "") -> str:
    """Replace what a database's message quotes from a row, and keep what it quotes from the query.

    :param known: the query; quoted text is kept if all its words are in the query or it names a table or column.
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
