"""Which queries a program has, which columns each must return, and who wants them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recsync.formatting import closest, did_you_mean
from recsync.program import DatasetType, Program
from recsync.program.avro import AvroSchema
from recsync.program.problem import Field, Problem
from recsync.program.recipes import Asks
from recsync.program.text_files import read_text_file
from recsync.program.yaml_file import YamlFile, line_of_name

# A returned column this much like one that may be left out was most likely meant to be that one.
_MISTYPED = 0.85


@dataclass(frozen=True)
class Wanted:
    """One column that a query must return.

    :param field: of the program file, which asks for it; None when the schema does, or recsync itself.
    :param schema: path below ``include/schemas`` of the schema that asks for it.
    """

    column: str
    field: Field | None = None
    schema: str | None = None


@dataclass(frozen=True)
class ProgramQuery:
    """One SQL file of a program.

    :param kind: a dataset's folder, ``audience``, ``catalogue``, ``candidates``, ``seeds``, ``segments``,
        ``promotion`` or ``excluded``.
    :param name: the file below ``include/sql``.
    :param optional: columns that are used when they are there.
    :param intervals: whether it is run for an export interval too, and not only for everything.
    """

    kind: str
    name: str
    wanted: tuple[Wanted, ...]
    optional: tuple[str, ...] = ()
    intervals: bool = False


def program_queries(program: Program, schemas: Mapping[DatasetType, AvroSchema]) -> list[ProgramQuery]:
    """List the queries of a program."""
    asks, inputs = program.personalize.traits.asks, program.inputs
    queries = [
        ProgramQuery(
            kind.folder,
            program.sql_file(kind.folder),
            tuple(_of_dataset(program, kind, schemas[kind])),
            intervals=True,
        )
        for kind in program.dataset_types
    ]
    queries.append(
        ProgramQuery(
            "audience",
            program.sql_file("audience"),
            tuple(_of_audience(program)),
            optional=("external_id", "priority"),
        )
    )
    queries.append(ProgramQuery("catalogue", program.sql_file("catalogue"), tuple(_of_catalogue(program))))
    columns = {
        "candidates": ("item_id",),
        "seeds": ("user_id", "item_id"),
        "segments": ("attributes", "item_id") if asks is Asks.SEGMENT_ATTRIBUTES else ("item_id",),
    }
    named = [(kind, program.sql_file(kind), columns[kind]) for kind in program.input_queries]
    if program.audience.segment and program.audience.segment.sql:
        named.append(("promotion", program.audience.segment.sql, ("item_id",)))
    if program.events.exclude_users:
        named.append(("excluded", program.events.exclude_users, ("user_id",)))
    optional = {"candidates": ("user_id",)} if inputs.candidates else {}
    return queries + [
        ProgramQuery(kind, name, tuple(map(Wanted, wanted)), optional=optional.get(kind, ()))
        for kind, name, wanted in named
    ]


def column_problems(
    file: YamlFile, query: ProgramQuery, returned: Sequence[str], include: Path
) -> Iterator[str]:
    """Yield every column that a query must return and does not, with the file and line that want it.

    :param returned: the columns that it returns.
    """
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
            needed = f"returns no column {wanted.column}, which is needed; it returns {', '.join(returned)}"
            yield f"{sql}:1: {needed}{hint} Return the column with AS {wanted.column}."
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
    made = {"EVENT_VALUE"} if events.weights and len(events.weights) == len(events.types) else set()
    for column in schema.columns:
        if not (kind is DatasetType.INTERACTIONS and column in made):
            asked.setdefault(column, Wanted(column, schema=schema_file))
    yield from asked.values()


def _of_audience(program: Program) -> Iterator[Wanted]:
    yield Wanted("user_id")
    if program.personalize.traits.asks is Asks.ITEM and not program.inputs.seeds:
        yield Wanted("item_id", ("personalize", "recipe"))
    tiers = program.recommendations.fallback
    if "popular_in_segment" in tiers:
        yield Wanted("segment", ("recommendations", "fallback", tiers.index("popular_in_segment")))
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
    for name, rule_column in (("in_stock", rules.in_stock), ("category", rules.category)):
        if rule_column:
            yield Wanted(rule_column, ("recommendations", "rules", name))
