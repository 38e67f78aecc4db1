"""Render SQL templates and find their mistakes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from traceback import extract_tb
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import SandboxedEnvironment

from recsync.errors import FatalError
from recsync.formatting import closest
from recsync.program.intervals import Interval
from recsync.warehouse.dialects import Dialect

_DOLLAR_TAG = r"\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$"


def single_query(text: str, *, name: str, dialect: Dialect) -> str:
    """Return the query of a SQL file without a trailing semicolon, comments and blanks.

    :param name: the file's name, for errors.
    :raises FatalError: when there is no query, or a second one after a semicolon.
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
    """Split SQL into ``code``, ``comment``, ``semicolon`` and ``blank``: start, stop and kind of each token."""
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
        # A word is one token: a dollar in a name opens no string, and only a lone E before a quote is a prefix.
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


_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
# What one second is in the units of the helpers.
_UNITS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}
VARIABLES = (
    "data_interval_start", "data_interval_end", "full", "epoch", "epoch_text", "number",
    "data_interval_start_epoch", "data_interval_end_epoch", *_UNITS,
)  # fmt: skip
_HELPERS = (
    "data_interval_start, data_interval_end (both also with _epoch, in seconds), full, epoch('column'), "
    "epoch_ms('column') and the like, epoch_text('column') and number('column')"
)
# The names of the interval in Airflow's own templates and in other tools.
_OTHER_NAMES = {
    "ds": "data_interval_start",
    "ts": "data_interval_start",
    "execution_date": "data_interval_start",
    "logical_date": "data_interval_start",
    "start": "data_interval_start",
    "start_date": "data_interval_start",
    "next_ds": "data_interval_end",
    "end": "data_interval_end",
    "end_date": "data_interval_end",
}


def render(text: str, interval: Interval, *, name: str, dialect: Dialect) -> str:
    """Fill a SQL template.

    Its variables are ``data_interval_start`` and ``data_interval_end`` (ISO 8601 with offset, for use inside quotes),
    ``full`` (true for a snapshot of everything before ``data_interval_end``) and helpers that write SQL in the
    warehouse's dialect: ``epoch('column')`` and its like, epoch seconds, floored, and ``number('column')``.

    :param name: the file below ``include/sql``, for errors.
    :returns: the query of the file; see ``single_query``.
    :raises FatalError: when the template is broken, names an unknown variable, or has no query or several.
    """
    return single_query(fill(text, interval, name=name, dialect=dialect), name=name, dialect=dialect)


def fill(text: str, interval: Interval, *, name: str, dialect: Dialect) -> str:
    """Fill a SQL template, and keep comments and blank lines.

    :raises FatalError: naming every mistake of the template with its line.
    """
    try:
        return _ENVIRONMENT.from_string(text).render(_variables(interval, dialect))
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        problems = list(template_problems(text, name))
        raise FatalError(" ".join(problems) or _problem(name, _line_of(error), str(error))) from None


def template_problems(text: str, name: str) -> Iterator[str]:
    """Yield the syntax error or the unknown variables of a template."""
    try:
        tree = _ENVIRONMENT.parse(text)
        _ENVIRONMENT.compile(tree)
    except TemplateSyntaxError as error:
        yield _problem(name, error.lineno, str(error.message))
        return
    unknown = meta.find_undeclared_variables(tree) - {*VARIABLES} - _ENVIRONMENT.globals.keys()
    lines: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in unknown:
            lines.setdefault(node.name, node.lineno)
    for variable, line in lines.items():
        meant = _OTHER_NAMES.get(variable) or closest(variable, VARIABLES)
        hint = f"; did you mean {meant}?" if meant else "."
        yield f"include/sql/{name}:{line}: unknown variable {variable}{hint} A template may use {_HELPERS}."


def _variables(interval: Interval, dialect: Dialect) -> Mapping[str, Any]:
    full = interval == Interval.until(interval.end)
    return {
        "data_interval_start": interval.start.isoformat(),
        "data_interval_end": interval.end.isoformat(),
        "data_interval_start_epoch": int(interval.start.timestamp()),
        "data_interval_end_epoch": int(interval.end.timestamp()),
        "full": full,
        "epoch": dialect.epoch,
        "epoch_text": dialect.epoch_text,
        "number": dialect.number,
        **{name: partial(dialect.epoch_number, per_second=unit) for name, unit in _UNITS.items()},
    }


def _problem(name: str, line: int, text: str) -> str:
    return f"include/sql/{name}:{line}: not a valid template: {text.rstrip('.')}. It may use {_HELPERS}."


def _line_of(error: BaseException) -> int:
    """Return the template's line from the traceback, where Jinja puts it."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return (lines[-1] if lines else None) or 1
