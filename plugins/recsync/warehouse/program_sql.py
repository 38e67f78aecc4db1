"""A program's SQL files, ready for its warehouse."""

from __future__ import annotations

from recsync import settings
from recsync.program import DatasetType, Program
from recsync.program.avro import AvroSchema
from recsync.program.columns import IDS, columns_of
from recsync.program.intervals import Interval
from recsync.program.text_files import read_text_file
from recsync.warehouse.event_mapping import ReturnedQuery, map_events
from recsync.warehouse.hooks import Warehouse
from recsync.warehouse.query_columns import check_ids
from recsync.warehouse.select import map_columns, select_columns
from recsync.warehouse.templates import render


def read_query(program: Program, query: str, interval: Interval, warehouse: Warehouse) -> tuple[str, str]:
    """Render one of the program's SQL files.

    :returns: the file's name below ``include/sql`` and the query.
    """
    name = program.sql_file(query)
    return name, _rendered(name, interval, warehouse)


def read_named_query(name: str, interval: Interval, warehouse: Warehouse) -> str:
    """Render a SQL file by its path below ``include/sql``."""
    return _rendered(name, interval, warehouse)


def interactions_query(program: Program, interval: Interval, warehouse: Warehouse) -> ReturnedQuery:
    """Give the events that count: the interactions query, wrapped in what the program says about events."""
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
    """Give the query that returns exactly the columns of a dataset's schema, in its order.

    Arrays and JSON arrays in a categorical field are joined with ``|``, as Amazon Personalize reads several categories.

    Rows are sorted, so that the same rows give the same bytes. A snapshot of all interactions is not: its sort would
    cost the warehouse more than all the rest, and its digest does not depend on the order.
    """
    if kind is DatasetType.INTERACTIONS:
        returned = interactions_query(program, interval, warehouse)
    else:
        returned = _returned(program.sql_file(kind.folder), interval, warehouse)
    columns = map_columns(returned.columns, schema.columns, name=returned.name)
    types = {column: returned.types[old] for column, old in columns.items()}
    check_ids(types, IDS, name=returned.name)
    ordered = is_ordered(kind, interval)
    templates = {
        column.name: template
        for column in columns_of(schema)
        if column.is_joined and (template := warehouse.dialect.joined.get(types[column.name].kind))
    }
    return select_columns(
        returned.query, columns, ordered=ordered, dialect=warehouse.dialect, templates=templates
    )


def is_ordered(kind: DatasetType, interval: Interval) -> bool:
    """Tell whether an export's rows are sorted."""
    return kind is not DatasetType.INTERACTIONS or interval != Interval.until(interval.end)


def _returned(name: str, interval: Interval, warehouse: Warehouse) -> ReturnedQuery:
    query = _rendered(name, interval, warehouse)
    return ReturnedQuery.of(name, query, warehouse.columns(query, name=name))


def _rendered(name: str, interval: Interval, warehouse: Warehouse) -> str:
    text = read_text_file(settings.include_folder() / "sql" / name, f"include/sql/{name}")
    return render(text, interval, name=name, dialect=warehouse.dialect)
