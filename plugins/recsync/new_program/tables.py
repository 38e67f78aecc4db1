"""Read what the tables of a warehouse look like: columns, counts, a sample, and which column leads to which table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from recsync.errors import FatalError
from recsync.formatting import did_you_mean
from recsync.new_program.columns import Column, Link, Ref, Table
from recsync.new_program.scores import is_key, may_lead_to
from recsync.preflight.warehouse import count_common
from recsync.warehouse.column_types import Kind, ReturnedColumn
from recsync.warehouse.event_mapping import text_type
from recsync.warehouse.hooks import Warehouse

SAMPLE_ROWS = 2_000
# Figures of larger tables come from this number of rows.
COUNTED_ROWS = 1_000_000
MAX_TABLES = 40
# Schemas that are searched without a choice of one.
_DEFAULT_SCHEMAS = ("public", "main", "dbo")
_COUNTED = frozenset(
    {Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.MOMENT, Kind.BOOLEAN, Kind.UNKNOWN}
)


def list_tables(source: Warehouse) -> list[tuple[str, str]]:
    """List the schema and name of each table and view."""
    with source.read(source.dialect.tables, ["schema_name", "table_name"], name="the list of tables") as rows:
        return [
            (str(row["schema_name"]), str(row["table_name"]))
            for batch in rows.batches
            for row in batch.to_pylist()
        ]


def chosen_tables(
    there: Collection[tuple[str, str]], wanted: Collection[str], schema: str | None
) -> list[tuple[str, str]]:
    """Choose the tables to look at.

    :param wanted: names of tables; empty: all of the schema.
    :param schema: default: the schema that a warehouse uses when none is named, if it has tables.
    :raises FatalError: there is none, or too many to look at.
    """
    schemas = sorted({each for each, _ in there})
    if schema is None:
        schema = next((name for name in schemas if name.casefold() in _DEFAULT_SCHEMAS), None)
        if schema is None and len(schemas) > 1:
            raise FatalError(
                f"The warehouse has tables in {', '.join(schemas)}. Write one as `schema:` into the file of answers."
            )
    elif schema not in schemas:
        hint = did_you_mean(schema, schemas) or "."
        raise FatalError(
            f"The warehouse has no tables in a schema {schema}{hint} There are {', '.join(schemas)}."
        )
    found = sorted(
        (each, name) for each, name in there if schema in {None, each} and (not wanted or name in wanted)
    )
    if not found:
        raise FatalError(
            "The warehouse has no tables to look at. Load some: make new PROGRAM=<name> DATA=<folder>."
        )
    if len(found) > MAX_TABLES:
        raise FatalError(
            f"There are {len(found)} tables in {schema}, which are too many to look at. Name those of the program: "
            "make new PROGRAM=<name> TABLES=<table,table>."
        )
    return found


def read_table(source: Warehouse, schema: str, name: str) -> Table:
    """Count the values of a table's columns, and read a sample."""
    dialect, path = source.dialect, qualified(source, schema, name)
    label = f"table {name}"
    described = source.columns(f"SELECT * FROM {path}", name=label)
    rows = int(_row(source, f"SELECT COUNT(*) AS n FROM {path}", ["n"], label)["n"] or 0)
    counted = [column for column in described if column.kind in _COUNTED]
    asked, limited = [], dialect.limited.format(path, COUNTED_ROWS)
    for number, column in enumerate(counted):
        asked += [f"{sql} AS c{number}_{what}" for what, sql in _counts(source, column).items()]
    figures = {}
    if rows and asked:
        columns = [each.rsplit(" AS ", 1)[1] for each in asked]
        query = f"SELECT {', '.join(asked)} FROM ({limited}) AS recsync_rows"
        figures = _row(source, query, columns, label)
    samples = _samples(source, path, [column.name for column in counted], label) if rows else {}
    return Table(
        schema,
        name,
        rows,
        {
            column.name: Column(
                column.name,
                column.kind,
                column.type,
                filled=int(figures.get(f"c{number}_filled") or 0),
                distinct=int(figures.get(f"c{number}_distinct") or 0),
                low=figures.get(f"c{number}_low"),
                high=figures.get(f"c{number}_high"),
                sample=samples.get(column.name, ()),
            )
            for number, column in enumerate(counted)
        },
    )


def qualified(source: Warehouse, schema: str, name: str) -> str:
    """Return the quoted name of a table."""
    return f"{source.dialect.quoted(schema)}.{source.dialect.quoted(name)}"


def _counts(source: Warehouse, column: ReturnedColumn) -> dict[str, str]:
    name, text = source.dialect.quoted(column.name), text_type(source.dialect)
    value = f"NULLIF(CAST({name} AS {text}), '')" if column.kind in {Kind.TEXT, Kind.UNKNOWN} else name
    found = {"filled": f"COUNT({value})", "distinct": f"COUNT(DISTINCT {value})"}
    if column.kind is not Kind.BOOLEAN:
        found |= {"low": f"CAST(MIN({value}) AS {text})", "high": f"CAST(MAX({value}) AS {text})"}
    return found


def _row(source: Warehouse, query: str, columns: list[str], label: str) -> dict[str, Any]:
    with source.read(query, columns, name=label) as rows:
        found = [row for batch in rows.batches for row in batch.to_pylist()]
    return dict(found[0])


def _samples(source: Warehouse, path: str, columns: list[str], label: str) -> dict[str, tuple[str, ...]]:
    query = source.dialect.limited.format(path, SAMPLE_ROWS)
    found: dict[str, list[str]] = {name: [] for name in columns}
    with source.read(query, columns, name=label) as rows:
        for batch in rows.batches:
            for name in columns:
                found[name] += [value for value in batch[name].to_pylist() if value]
    return {name: tuple(values) for name, values in found.items()}


def read_links(source: Warehouse, tables: Mapping[str, Table]) -> list[Link]:
    """Find the columns with values that are keys of another table."""
    links = []
    for key, column in _pairs(tables):
        its, own = tables[key.table].columns[key.column], tables[column.table].columns[column.column]
        question = count_common(
            f"SELECT {source.dialect.quoted(column.column)} FROM {_path(source, tables, column)}",
            column.column,
            f"SELECT {source.dialect.quoted(key.column)} FROM {_path(source, tables, key)}",
            key.column,
            source.dialect,
        )
        common = int(_row(source, question, ["found"], f"table {column.table}")["found"] or 0)
        if common:
            links.append(Link(column, key, min(1.0, common / own.distinct), min(1.0, common / its.distinct)))
    return links


def _path(source: Warehouse, tables: Mapping[str, Table], ref: Ref) -> str:
    table = tables[ref.table]
    return qualified(source, table.schema, table.name)


def _pairs(tables: Mapping[str, Table]) -> Iterator[tuple[Ref, Ref]]:
    """Yield each key and each column that may lead to it."""
    for key_table, table in tables.items():
        for its in table.columns.values():
            if not is_key(its):
                continue
            for other_table, other in tables.items():
                for own in other.columns.values():
                    if other_table != key_table and may_lead_to(own, its):
                        yield Ref(key_table, its.name), Ref(other_table, own.name)
