"""Read a program's SQL files, ready for its warehouse."""

from __future__ import annotations

from recsync import settings
from recsync.core.intervals import Interval
from recsync.core.program import Program
from recsync.core.queries.templates import render


def read_query(program: Program, query: str, interval: Interval) -> tuple[str, str]:
    """Render one of the program's SQL files.

    :returns: the file's name below ``include/sql`` and the query.
    """
    name = program.sql_file(query)
    path = settings.include_folder() / "sql" / name
    return name, render(path.read_text(encoding="utf-8"), interval, name=name)
