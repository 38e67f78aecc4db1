"""Render a program's SQL files for its warehouse."""

from __future__ import annotations

from recsync import settings
from recsync.program import DatasetType, Program
from recsync.program.avro import IDS, AvroSchema
from recsync.program.intervals import Interval
from recsync.program.problems import read_text_file
from recsync.warehouse.column_types import check_ids
from recsync.warehouse.event_mapping import (
    ReturnedQuery,
    map_columns,
    map_events,
    select_columns,
    with_empty_columns,
)
from recsync.warehouse.hooks import Warehouse
from recsync.warehouse.templates import render


def read_query(program: Program, query: str, interval: Interval, warehouse: Warehouse) -> tuple[str, str]:
    """Render one of the program's SQL files; return its path below ``include/sql`` too."""
    name = program.sql_file(query)
    return name, read_named_query(name, interval, warehouse)


def read_named_query(name: str, interval: Interval, warehouse: Warehouse) -> str:
    """Render a SQL file by its path below ``include/sql``."""
    text = read_text_file(settings.include_folder() / "sql" / name, f"include/sql/{name}")
    return render(text, interval, name=name, dialect=warehouse.dialect)


def interactions_query(program: Program, interval: Interval, warehouse: Warehouse) -> ReturnedQuery:
    """Return the interactions query, wrapped in the program's event rules."""
    returned = _returned(program.sql_file(DatasetType.INTERACTIONS.folder), interval, warehouse)
    events = program.events
    excluded = _returned(events.exclude_users, interval, warehouse) if events.exclude_users else None
    exported = settings.schema(program, DatasetType.INTERACTIONS).columns
    mapped = map_events(returned, events, exported=exported, excluded=excluded, dialect=warehouse.dialect)
    if mapped == returned.query:
        return returned
    return ReturnedQuery.of(returned.name, mapped, warehouse.columns(mapped, name=returned.name))


def export_query(
    program: Program, kind: DatasetType, interval: Interval, schema: AvroSchema, warehouse: Warehouse
) -> str:
    """Return the query of exactly the columns of a dataset's schema, in its order.

    Columns that the export fills (``personalize.attribution``) are empty where the query does not return them.

    Arrays and JSON arrays in a categorical field are joined with ``|``, as Amazon Personalize reads several categories.
    """
    if kind is DatasetType.INTERACTIONS:
        returned = interactions_query(program, interval, warehouse)
        returned = with_empty_columns(returned, program.attribution.filled, warehouse.dialect)
    else:
        returned = _returned(program.sql_file(kind.folder), interval, warehouse)
    columns = map_columns(returned.columns, schema.columns, name=returned.name)
    types = {column: returned.types[old] for column, old in columns.items() if old in returned.types}
    check_ids(types, IDS, name=returned.name)
    templates = {
        column.name: template
        for column in schema.fields
        if column.is_joined
        and column.name in types
        and (template := warehouse.dialect.joined.get(types[column.name].kind))
    }
    ordered = is_ordered(kind, interval)
    return select_columns(
        returned.query, columns, ordered=ordered, dialect=warehouse.dialect, templates=templates
    )


def is_ordered(kind: DatasetType, interval: Interval) -> bool:
    """True if an export is sorted, so that the same rows give the same bytes.

    A snapshot of all interactions is not: sorting it would cost more than the rest of the export, and its digest does
    not depend on the order.
    """
    return kind is not DatasetType.INTERACTIONS or interval != Interval.until(interval.end)


def _returned(name: str, interval: Interval, warehouse: Warehouse) -> ReturnedQuery:
    query = read_named_query(name, interval, warehouse)
    return ReturnedQuery.of(name, query, warehouse.columns(query, name=name))
