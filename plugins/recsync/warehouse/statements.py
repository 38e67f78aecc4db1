"""Reduce the text of a SQL file to the one query in it, so that the query can be wrapped in another."""

from __future__ import annotations

import re
from collections.abc import Iterator

from recsync.errors import FatalError
from recsync.warehouse.dialects import Dialect

_DOLLAR_TAG = r"\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$"


def single_query(text: str, *, name: str, dialect: Dialect) -> str:
    """Return the query of a SQL file without the semicolon, comments and blanks behind it.

    Semicolons in texts, quoted names and comments are part of the query.

    :param name: the file's name, for errors.
    :raises FatalError: when there is no query, or a second one behind a semicolon.
    """
    end, closed = 0, False
    for start, stop, kind in _tokens(text, dialect):
        if kind == "semicolon":
            closed = closed or end > 0
        elif kind == "code":
            if closed:
                line = text.count("\n", 0, start) + 1
                raise FatalError(
                    f"{name}:{line}: a second statement begins here; keep one SELECT in the file."
                )
            end = stop
    if not end:
        raise FatalError(f"{name} holds no query.")
    return text[:end].lstrip("; \t\r\n")


def _tokens(text: str, dialect: Dialect) -> Iterator[tuple[int, int, str]]:
    """Cut SQL into ``code``, ``comment``, ``semicolon`` and ``blank``: start, stop and kind of each piece."""
    pattern, position = _pattern(dialect), 0
    while position < len(text):
        found = pattern.match(text, position)
        assert found
        kind, stop = str(found.lastgroup), found.end()
        if kind == "block":
            kind, stop = "comment", _block_end(text, position, nested=dialect.nested_comments)
        elif kind == "dollar":
            closing = text.find(found.group(), stop)
            kind, stop = "code", len(text) if closing < 0 else closing + len(found.group())
        yield position, stop, kind
        position = stop


def _pattern(dialect: Dialect) -> re.Pattern[str]:
    texts = [r"[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)", _quoted("'", dialect.backslash_escapes)]
    names = [_quoted(closing, False, opening) for opening, closing in {dialect.identifier_quotes, ('"', '"')}]
    marks = "|".join(map(re.escape, dialect.line_comments))
    parts = {
        "blank": r"\s+",
        "semicolon": ";",
        "comment": rf"(?:{marks})[^\n]*",
        "block": r"/\*",
        "dollar": _DOLLAR_TAG,
        # A word is one piece: a dollar in a name opens no text, and only a lone E before a quote is a prefix.
        "code": "|".join([*texts, *names, r"[^\W\d](?:\w|\$)*+", "."]),
    }
    return re.compile("|".join(f"(?P<{kind}>{part})" for kind, part in parts.items()), re.DOTALL)


def _quoted(closing: str, backslashes: bool, opening: str | None = None) -> str:
    mark = re.escape(closing)
    escapes = r"\\." if backslashes else rf"{mark}{mark}"
    others = rf"[^{mark}\\]" if backslashes else rf"[^{mark}]"
    return rf"{re.escape(opening or closing)}(?:{escapes}|{others}|{mark}{mark})*(?:{mark}|\Z)"


def _block_end(text: str, start: int, *, nested: bool) -> int:
    depth = 0
    for mark in re.finditer(r"/\*|\*/", text[start:]):
        if mark.group() == "*/":
            depth -= 1
        elif nested or not depth:
            depth += 1
        if not depth:
            return start + mark.end()
    return len(text)
