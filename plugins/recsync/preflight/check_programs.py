"""Check prices, program files and the queries they need: ``python -m recsync.preflight.check_programs include``.

``make programs`` runs it. It needs no connection, and imports nothing of Airflow.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recsync.costs.prices import read_prices
from recsync.errors import FatalError
from recsync.formatting import closest, did_you_mean
from recsync.program import DatasetType, Program
from recsync.program.avro import AvroSchema
from recsync.program.files import (
    SUFFIX,
    experiment_problems,
    missing_programs,
    program_files,
    program_yaml,
    read_programs,
    read_schemas,
    shared_problems,
)
from recsync.program.intervals import Interval
from recsync.program.problems import Field, Problem, YamlFile, line_of_name, read_text_file
from recsync.program.recipes import InputType
from recsync.warehouse.dialects import ANSI
from recsync.warehouse.templates import fill, template_problems

_END = datetime(2026, 1, 5, 12, tzinfo=UTC)
FULL, HOUR = Interval.until(_END), Interval(_END - timedelta(hours=1), _END)
# sqlglot's names of the warehouses in docs/warehouse.md, and "" for common SQL. Only its connection says which one a
# program uses, so a query is wrong only if all of them refuse it.
_DIALECTS = (
    "",
    "postgres",
    "snowflake",
    "bigquery",
    "redshift",
    "duckdb",
    "tsql",
    "mysql",
    "sqlite",
    "trino",
    "athena",
)


def check(include: Path) -> list[str]:
    """Return every problem of the prices, of the program files and of their SQL files."""
    programs, broken = read_programs(include)
    problems = [problem for error in broken.values() for problem in error.problems]
    between = [find(programs, include) for find in (shared_problems, missing_programs, experiment_problems)]
    for name, program in programs.items():
        file = program_yaml(include / "programs" / f"{name}{SUFFIX}")
        problems += sql_problems(file, program, include)
        problems += [problem for found in between for problem in found.get(name, ())]
    problems += [
        f"{path.name}: nothing reads a file of this name; rename it to {path.stem}{SUFFIX}"
        for path in sorted((include / "programs").glob("*.y*ml"))
        if path.suffix != SUFFIX
    ]
    try:
        read_prices(include)
    except FatalError as error:
        problems += str(error).splitlines()
    return problems


def main(include: Path) -> int:
    """Print every problem; return 1 when there is one."""
    problems = check(include)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{len(program_files(include))} program file(s), {len(problems)} problem(s)\n")
    return 1 if problems else 0


def sql_problems(file: YamlFile, program: Program, include: Path) -> list[str]:
    """Return the mistakes in the SQL files of a sound program."""
    queries = program_queries(program, read_schemas(program, include))
    if program.data is not None:  # the owner's file answers for the queries of the data
        of_data = {*(kind.folder for kind in DatasetType), "excluded"}
        queries = [query for query in queries if query.kind not in of_data]
    found = (problem for query in queries for problem in _query_problems(file, query, include))
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
    """Parse a query with sqlglot, a development dependency, if it is installed.

    :returns: its mistakes, and its columns; none when only the warehouse knows them.
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
        return _checked(statements, name)
    return [_syntax_problem(errors, query, template, name)], []


def _checked(statements: list[Any], name: str) -> tuple[list[str], list[str]]:
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
    """Report the error of the dialect that parsed the most."""
    details = [detail for error in errors for detail in getattr(error, "errors", ())]
    if not details:
        return f"include/sql/{name}:1: is not valid SQL: {errors[0]}"
    detail = max(details, key=lambda each: (each["line"] or 0, each["col"] or 0))
    line = detail["line"] or 1
    # With the same number of lines, template and query have the same line numbers.
    same = query.rstrip().count("\n") == template.rstrip().count("\n")
    where = f"{line}" if same else "1"
    far = "" if same else f" (line {line} of the filled template)"
    near = f", near {detail['highlight'].strip()!r}" if detail.get("highlight", "").strip() else ""
    return f"include/sql/{name}:{where}: is not valid SQL{far}: {detail['description'].rstrip('.')}{near}."


# A returned column this similar to an optional one is most likely a typing error.
_MISTYPED = 0.85


@dataclass(frozen=True)
class Wanted:
    """One column that a query must return.

    :param field: field of the program file that needs it; None for a schema or recsync itself.
    :param schema: path below ``include/schemas`` of the schema that needs it.
    """

    column: str
    field: Field | None = None
    schema: str | None = None


@dataclass(frozen=True)
class ProgramQuery:
    """One SQL file of a program.

    :param kind: a dataset's folder, ``audience``, ``catalogue``, ``candidates``, ``seeds``, ``segments``,
        ``promotion``, ``excluded``, ``outcomes``, or the rule of lists that it gives items.
    :param name: the file below ``include/sql``.
    :param intervals: whether it also runs for single export intervals.
    """

    kind: str
    name: str
    wanted: tuple[Wanted, ...]
    optional: tuple[str, ...] = ()
    intervals: bool = False


def program_queries(program: Program, schemas: Mapping[DatasetType, AvroSchema]) -> list[ProgramQuery]:
    """List the queries of a program."""
    sql_file = program.sql_file
    queries = [
        ProgramQuery(
            kind.folder,
            sql_file(kind.folder),
            tuple(_of_dataset(program, kind, schemas[kind])),
            intervals=True,
        )
        for kind in program.dataset_types
    ]
    audience = tuple(_of_audience(program))
    queries.append(
        ProgramQuery("audience", sql_file("audience"), audience, optional=_audience_optional(program))
    )
    queries.append(ProgramQuery("catalogue", sql_file("catalogue"), tuple(_of_catalogue(program))))
    attributes = program.personalize.recipe_spec.input_type is InputType.SEGMENT_ATTRIBUTES
    columns = {
        "candidates": ("item_id",),
        "seeds": ("user_id", "item_id"),
        "segments": ("attributes", "item_id") if attributes else ("item_id",),
    }
    named = [(kind, sql_file(kind), columns[kind]) for kind in program.input_queries]
    if program.audience.segment and program.audience.segment.sql:
        named.append(("promotion", program.audience.segment.sql, ("item_id",)))
    if program.experiment:
        named.append(("outcomes", sql_file("outcomes"), ("user_id", "timestamp")))
    rules = program.recommendations.rules
    named += [(rule, file, ("item_id",)) for rule, file in rules.queries.items()]
    if program.events.exclude_users:
        named.append(("excluded", program.events.exclude_users, ("user_id",)))
    optional: dict[str, tuple[str, ...]] = {"outcomes": ("value", "item_id", "event", "outcome_id")}
    if program.inputs.candidates:
        optional["candidates"] = ("user_id",)
    return queries + [
        ProgramQuery(
            kind,
            name,
            tuple(map(Wanted, wanted)),
            optional=optional.get(kind, ()),
            # Outcomes are read for the days of a report.
            intervals=kind == "outcomes",
        )
        for kind, name, wanted in named
    ]


def column_problems(
    file: YamlFile, query: ProgramQuery, returned: Sequence[str], include: Path
) -> Iterator[str]:
    """Yield every column that a query must return and does not, with the file and line that need it."""
    sql, by_fold = f"include/sql/{query.name}", [column.casefold() for column in returned]
    for wanted in query.wanted:
        times = by_fold.count(wanted.column.casefold())
        if times == 1:
            continue
        if times:
            yield f"{sql}:1: returns the column {wanted.column} {times} times; leave one of them."
            continue
        there = f"{sql} returns no column {wanted.column}; it returns {', '.join(returned)}"
        hint = did_you_mean(wanted.column, returned) or "."
        alias = f"return the column with AS {wanted.column}"
        if wanted.field is not None:
            yield file.line_of(Problem(wanted.field, f"{there}{hint} Correct the name here, or {alias}"))
        elif wanted.schema is not None:
            path = f"include/schemas/{wanted.schema}"
            line = line_of_name(read_text_file(include / "schemas" / wanted.schema, path), wanted.column)
            yield f"{path}:{line}: field {wanted.column}: {there}{hint} Correct the schema, or {alias}."
        else:
            needed = (
                f"returns no column {wanted.column}, which is needed; it returns {', '.join(returned)}{hint}"
            )
            yield f"{sql}:1: {needed} Return the column with AS {wanted.column}."
    known = {wanted.column.casefold() for wanted in query.wanted}
    for column in query.optional:
        others = [name for name in returned if name.casefold() not in known | {column}]
        mistyped = None if column in by_fold else closest(column, others, likeness=_MISTYPED)
        if mistyped:
            yield f"{sql}:1: returns a column {mistyped}, which nothing reads; did you mean {column}?"


def _of_dataset(program: Program, kind: DatasetType, schema: AvroSchema) -> Iterator[Wanted]:
    events, schema_file = program.events, program.schema_file(kind)
    asked: dict[str, Wanted] = {}
    if kind is DatasetType.INTERACTIONS:
        if events.types:
            asked["EVENT_TYPE"] = Wanted("EVENT_TYPE", ("events", "types"))
        if 0 < len(events.weights) < len(events.types):
            asked["EVENT_VALUE"] = Wanted("EVENT_VALUE", ("events", "types"))
        if program.recommendations.rules.bought_event_types:
            field = ("recommendations", "rules", "bought_event_types")
            asked.setdefault("EVENT_TYPE", Wanted("EVENT_TYPE", field))
    # The weights make the value of every row when each type has one.
    made: set[str] = {"EVENT_VALUE"} if events.weights and len(events.weights) == len(events.types) else set()
    made |= set(program.attribution.filled)
    for column in schema.columns:
        if not (kind is DatasetType.INTERACTIONS and column in made):
            asked.setdefault(column, Wanted(column, schema=schema_file))
    yield from asked.values()


def _audience_optional(program: Program) -> tuple[str, ...]:
    # Only the external id may be left out: it is the user_id then.
    return ("external_id", "priority") if program.braze.identifier == "external_id" else ("priority",)


def _of_audience(program: Program) -> Iterator[Wanted]:
    yield Wanted("user_id")
    if program.braze.identifier != "external_id":
        yield Wanted(program.braze.identifier, ("braze", "identifier"))
    if program.personalize.recipe_spec.input_type is InputType.ITEM and not program.inputs.seeds:
        yield Wanted("item_id", ("personalize", "recipe"))
    tiers = program.recommendations.fallback
    if "popular_in_segment" in tiers:
        yield Wanted("segment", ("recommendations", "fallback", tiers.index("popular_in_segment")))
    if program.experiment and program.experiment.stratify_by:
        yield Wanted(program.experiment.stratify_by, ("experiment", "stratify_by"))
    if chosen := program.filters.recommend:
        for placeholder, column in chosen.values.items():
            yield Wanted(column, ("filters", "recommend", "values", placeholder))


def _of_catalogue(program: Program) -> Iterator[Wanted]:
    braze, rules = program.braze, program.recommendations.rules
    yield Wanted("item_id")
    for place, column in enumerate(braze.sent_fields):
        yield Wanted(
            column,
            ("braze", "catalog", "fields", column) if braze.catalog else ("braze", "item_fields", place),
        )
    for rule in rules.columns:
        yield Wanted(rule.column, ("recommendations", "rules", *rule.field))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
