"""Render a program's SQL files."""

from __future__ import annotations

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from recsync.core.intervals import Interval
from recsync.core.queries.dialects import Dialect
from recsync.core.queries.statements import single_query
from recsync.errors import FatalError

_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def render(text: str, interval: Interval, *, name: str, dialect: Dialect) -> str:
    """Fill a SQL template.

    Templates see ``data_interval_start`` and ``data_interval_end`` (ISO 8601 with offset, for use inside
    quotes), ``full`` (true for a snapshot of everything before ``data_interval_end``) and
    ``epoch('column')``, the column's epoch seconds in the warehouse's dialect, floored.

    :param name: the file's name, for errors.
    :returns: the one query of the file, without what stands behind it.
    :raises FatalError: when the template is broken, names an unknown variable, or holds no query or several.
    """
    try:
        rendered = _ENVIRONMENT.from_string(text).render(
            data_interval_start=interval.start.isoformat(),
            data_interval_end=interval.end.isoformat(),
            full=interval == Interval.until(interval.end),
            epoch=dialect.epoch,
        )
    except (TemplateError, TypeError) as error:
        raise FatalError(
            f"{name} is not a valid template: {error}. It may use data_interval_start, data_interval_end, full "
            "and epoch('column')."
        ) from None
    return single_query(rendered, name=name, dialect=dialect)
