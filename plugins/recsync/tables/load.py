"""Load the tables into a warehouse, a day of a table in one transaction; repeating it is safe.

PostgreSQL cannot read S3, so the rows are copied. Other warehouses select from the external tables of ``make
tables-ddl``. ``examples/load_tables`` has a DAG.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk import BaseHook

from recsync.context import StageContext
from recsync.settings import connection as airflow_connection
from recsync.storage.duck import work_folder
from recsync.tables import ddl
from recsync.tables.schema import DATE, TABLES, TableSchema, arrow_schema
from recsync.tables.store import TableObject, TableStore
from recsync.warehouse.hooks.postgres import libpq_parameters

log = logging.getLogger(__name__)


def load(
    program: str, table: str, *, connection: str, schema: str, dialect: str, changed_since: datetime
) -> dict[str, int]:
    """Load the days of a table that were written, or rewritten by an erasure, since a time.

    :param connection: Airflow connection of the warehouse; its user may create tables in ``schema``, which exists.
    :param dialect: the connection's key of ``ddl.DIALECTS``.
    :param changed_since: load whole days with an object written at or after this time.
    :returns: ``days`` loaded, and for PostgreSQL the ``rows``.
    """
    context, found = StageContext.of(program), TABLES[table]
    objects = context.store(TableStore).objects(found)
    days = sorted({each.day for each in objects if each.modified >= changed_since})
    counts = {"days": len(days)}
    if dialect == "postgres":
        parameters = libpq_parameters(airflow_connection(connection, field="connection"))
        # psycopg2 copies from a file in C: warehouse/hooks/postgres.py.
        with closing(psycopg2.connect(**parameters)) as session:
            with session, session.cursor() as cursor:
                cursor.execute(ddl.create_native(found, dialect, schema))
            counts["rows"] = sum(_copy(context, session, found, schema, day, objects) for day in days)
    else:
        hook: DbApiHook = BaseHook.get_hook(connection)
        hook.run(ddl.create_native(found, dialect, schema))
        location = ddl.TableLocation.of(program, context.bucket.name)
        if days and (before := statements_before(location, found, dialect, days)):
            # Not allowed in a transaction.
            hook.run(before, autocommit=True)
        for day in days:
            hook.run(statements(location, found, dialect, schema, program, day))
    log.info("%s: loaded %d days into %s.%s.", program, len(days), schema, table)
    return counts


def statements_before(
    location: ddl.TableLocation, table: TableSchema, dialect: str, days: Iterable[date]
) -> list[str]:
    """Return the statements that make days known to an engine that does not find them itself."""
    if dialect == "redshift_spectrum":
        return ddl.partitions(location, days, [table])
    return ddl.refreshes(location, [table]) if dialect == "snowflake" else []


def statements(
    location: ddl.TableLocation, table: TableSchema, dialect: str, schema: str, program: str, day: date
) -> Sequence[str]:
    """Return the statements that load a day. ``hook.run`` runs them in one transaction, except BigQuery's."""
    found = ddl.load_partition(table, schema, location.schema, program, day)
    if dialect == "bigquery":
        return ["".join(f"{each};\n" for each in ("BEGIN TRANSACTION", *found, "COMMIT TRANSACTION"))]
    return found


def _copy(
    context: StageContext,
    session: Any,
    table: TableSchema,
    schema: str,
    day: date,
    objects: Iterable[TableObject],
) -> int:
    """Replace a day by the rows of its objects, in one transaction; return the number of rows."""
    names = [*table.names, DATE]
    copy = f"COPY {schema}.{table.name} ({', '.join(names)}) FROM STDIN WITH (FORMAT csv)"
    with work_folder() as work, session, session.cursor() as cursor:
        cursor.execute(ddl.delete_partition(table, schema, context.program.name, day))
        rows = 0
        for each in objects:
            if each.day == day:
                context.bucket.download(each.key, work / "object.parquet")
                rows += _write_csv(table, work / "object.parquet", day, work / "rows.csv")
                with (work / "rows.csv").open("rb") as file:
                    cursor.copy_expert(copy, file)
    return rows


def _write_csv(table: TableSchema, source: Path, day: date, target: Path) -> int:
    """Write an object as CSV with its day, row group by row group; NULL is an empty cell, an empty text ``""``."""
    schema = arrow_schema(table)
    options = pc.WriteOptions(include_header=False, quoting_style="needed")
    columns: dict[str, Any] = {field.name: field.type for field in schema}
    written = schema.append(pa.field(DATE, pa.date32()))
    with pq.ParquetFile(source) as file, pc.CSVWriter(target, written, write_options=options) as writer:
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            found = [
                group[name].cast(kind) if name in group.column_names else pa.nulls(len(group), kind)
                for name, kind in columns.items()
            ]
            days = pa.array([day], pa.date32()).take(pa.array([0] * len(group), pa.int32()))
            writer.write_table(pa.table([*found, days], schema=written))
        return int(file.metadata.num_rows)
