"""Check a program's SQL files as far as it goes without a warehouse: encoding, template, syntax, columns."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recsync.errors import FatalError
from recsync.program import Program
from recsync.program.files import read_schemas
from recsync.program.intervals import Interval
from recsync.program.queries import ProgramQuery, column_problems, program_queries
from recsync.program.text_files import read_text_file
from recsync.program.yaml_file import YamlFile
from recsync.warehouse.dialects import ANSI
from recsync.warehouse.templates import fill, template_problems

_END = datetime(2026, 1, 5, 12, tzinfo=UTC)
FULL, HOUR = Interval.until(_END), Interval(_END - timedelta(hours=1), _END)
# The warehouses that docs/warehouses.md names, as sqlglot calls them; "" takes what most of them share. Which one a
# program has is known to its connection alone, so a query is wrong only when none of them knows it.
_DIALECTS = ("", "postgres", "snowflake", "bigquery", "redshift", "duckdb", "tsql", "mysql", "sqlite")


def sql_problems(file: YamlFile, program: Program, include: Path) -> list[str]:
    """Return everything that is wrong with the SQL files of a program that is sound otherwise."""
    schemas = read_schemas(program, include)
    found: list[str] = []
    for query in program_queries(program, schemas):
        found += _query_problems(file, query, include)
    return list(dict.fromkeys(found))


def _query_problems(file: YamlFile, query: ProgramQuery, include: Path) -> Iterator[str]:
    try:
        text = read_text_file(include / "sql" / query.name, f"include/sql/{query.name}")
        wrong = list(template_problems(text, query.name))
        rendered = [] if wrong else _rendered(text, query)
    except FatalError as error:
        wrong, rendered = [str(error)], []
    yield from wrong
    for each in rendered:
        wrong, columns = _parsed(each, text, query.name)
        yield from wrong
        if columns:
            yield from column_problems(file, query, columns, include)


def _rendered(text: str, query: ProgramQuery) -> Sequence[str]:
    intervals = (FULL, HOUR) if query.intervals else (FULL,)
    return tuple(dict.fromkeys(fill(text, interval, name=query.name, dialect=ANSI) for interval in intervals))


def _parsed(query: str, template: str, name: str) -> tuple[list[str], list[str]]:
    """Parse a query with sqlglot, a development dependency; without it nothing is said.

    :returns: what is wrong with it, and the columns that it returns; none when only the warehouse knows them.
    """
    try:
        import sqlglot
        from sqlglot.errors import SqlglotError
    except ImportError:
        return [], []
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    errors: list[Any] = []
    for dialect in _DIALECTS:
        try:
            statements = [each for each in sqlglot.parse(query, read=dialect) if each is not None]
        except SqlglotError as error:
            errors.append(error)
            continue
        return _judged(statements, name)
    return [_syntax_problem(errors, query, template, name)], []


def _judged(statements: list[Any], name: str) -> tuple[list[str], list[str]]:
    from sqlglot import expressions

    path = f"include/sql/{name}"
    found = [each for each in statements if not isinstance(each, expressions.Semicolon)]
    if len(found) != 1:
        what = "holds no query" if not found else f"holds {len(found)} statements"
        return [f"{path}:1: {what}; write one SELECT."], []
    if isinstance(found[0], expressions.Command):
        return [], []  # syntax that sqlglot passes on as it is
    if not isinstance(found[0], expressions.Query):
        return [f"{path}:1: holds a {found[0].key.upper()} statement; write one SELECT."], []
    columns = found[0].named_selects
    return [], [] if "" in columns or "*" in columns else columns


def _syntax_problem(errors: list[Any], query: str, template: str, name: str) -> str:
    """Take the error of the dialect that came farthest."""
    details = [detail for error in errors for detail in getattr(error, "errors", ())]
    if not details:
        return f"include/sql/{name}:1: is not valid SQL: {errors[0]}"
    detail = max(details, key=lambda each: (each["line"] or 0, each["col"] or 0))
    line = detail["line"] or 1
    # A template of as many lines has each of them where the query has it.
    same = query.rstrip().count("\n") == template.rstrip().count("\n")
    where = f"{line}" if same else "1"
    far = "" if same else f" (line {line} of the filled template)"
    near = f", near {detail['highlight'].strip()!r}" if detail.get("highlight", "").strip() else ""
    return f"include/sql/{name}:{where}: is not valid SQL{far}: {detail['description'].rstrip('.')}{near}."
