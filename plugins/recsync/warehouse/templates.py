"""Render a program's SQL files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from traceback import extract_tb
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import SandboxedEnvironment

from recsync.errors import FatalError
from recsync.formatting import closest
from recsync.program.intervals import Interval
from recsync.warehouse.dialects import Dialect
from recsync.warehouse.statements import single_query

_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
VARIABLES = ("data_interval_start", "data_interval_end", "full", "epoch")
_HELPERS = "data_interval_start, data_interval_end, full and epoch('column')"
# What Airflow's own templates, and other tools, call the interval.
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

    Templates see ``data_interval_start`` and ``data_interval_end`` (ISO 8601 with offset, for use inside
    quotes), ``full`` (true for a snapshot of everything before ``data_interval_end``) and
    ``epoch('column')``, the column's epoch seconds in the warehouse's dialect, floored.

    :param name: the file below ``include/sql``, for errors.
    :returns: the one query of the file, without what stands behind it.
    :raises FatalError: when the template is broken, names an unknown variable, or holds no query or several.
    """
    return single_query(fill(text, interval, name=name, dialect=dialect), name=name, dialect=dialect)


def fill(text: str, interval: Interval, *, name: str, dialect: Dialect) -> str:
    """Fill a SQL template as it is, comments and blank lines included.

    :raises FatalError: naming every mistake of the template with its line.
    """
    try:
        return _ENVIRONMENT.from_string(text).render(_variables(interval, dialect))
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        problems = list(template_problems(text, name))
        raise FatalError(" ".join(problems) or _problem(name, _line_of(error), str(error))) from None


def template_problems(text: str, name: str) -> Iterator[str]:
    """Yield what is wrong with a template whatever the interval: its syntax, and variables that no stage gives."""
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
    values = (interval.start.isoformat(), interval.end.isoformat(), full, dialect.epoch)
    return dict(zip(VARIABLES, values, strict=True))


def _problem(name: str, line: int, text: str) -> str:
    return f"include/sql/{name}:{line}: not a valid template: {text.rstrip('.')}. It may use {_HELPERS}."


def _line_of(error: BaseException) -> int:
    """Find the template's line in the traceback, where Jinja puts it."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return (lines[-1] if lines else None) or 1
