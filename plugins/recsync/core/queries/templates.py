"""Render a program's SQL files and map what they return to the columns that an export writes."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from recsync.core.intervals import Interval
from recsync.errors import FatalError

_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def render(text: str, interval: Interval, *, name: str) -> str:
    """Fill a SQL template.

    Templates see ``data_interval_start`` and ``data_interval_end`` (ISO 8601 with offset, for use inside
    quotes) and ``full`` (true for a snapshot of everything before ``data_interval_end``).

    :param name: the file's name, for errors.
    :raises FatalError: when the template is broken or names an unknown variable.
    """
    try:
        rendered = _ENVIRONMENT.from_string(text).render(
            data_interval_start=interval.start.isoformat(),
            data_interval_end=interval.end.isoformat(),
            full=interval == Interval.until(interval.end),
        )
    except TemplateError as error:
        raise FatalError(
            f"{name} is not a valid template: {error}. It may use data_interval_start, data_interval_end and full."
        ) from None
    query = rendered.strip().rstrip(";").strip()
    if not query:
        raise FatalError(f"{name} holds no query.")
    return query


def map_columns(returned: Sequence[str], wanted: Sequence[str], *, name: str) -> dict[str, str]:
    """Find each wanted column among those a query returns; letter case does not matter.

    :returns: wanted column -> returned column, in wanted order.
    :raises FatalError: naming every missing column and what the query returns instead.
    """
    by_fold = {column.casefold(): column for column in returned}
    missing = [column for column in wanted if column.casefold() not in by_fold]
    if missing:
        raise FatalError(
            f"{name} does not return the column(s) {', '.join(missing)}; it returns {', '.join(returned)}. "
            "Give the columns these names with AS."
        )
    return {column: by_fold[column.casefold()] for column in wanted}


def quoted(identifier: str) -> str:
    """Quote an identifier as the SQL standard says."""
    return '"' + identifier.replace('"', '""') + '"'


def select_columns(query: str, columns: dict[str, str], *, ordered: bool = True) -> str:
    """Wrap ``query`` so that it returns exactly ``columns`` (new name -> old name), in that order.

    :param ordered: sort by every column, so that the same rows always give the same bytes.
    """
    chosen = ", ".join(f"{quoted(old)} AS {quoted(new)}" for new, old in columns.items())
    # The query is the program's own and the names are quoted; nothing here comes from outside.
    wrapped = f"SELECT {chosen} FROM (\n{query}\n) AS recsync_rows"
    if ordered:
        wrapped += " ORDER BY " + ", ".join(str(position + 1) for position in range(len(columns)))
    return wrapped
