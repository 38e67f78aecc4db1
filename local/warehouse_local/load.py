"""Load files into tables: COPY into a new table and swap it with the old one in the same transaction."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv as arrow_csv

from warehouse_local.csv_source import CsvSource
from warehouse_local.dsn import connect
from warehouse_local.errors import FileError, WarehouseError
from warehouse_local.parquet_source import ParquetSource
from warehouse_local.source import MAX_NAME_BYTES, Source, safe_columns, safe_name

Connection = psycopg.Connection[tuple[object, ...]]
_READERS: dict[str, Callable[[Path], Source]] = {
    ".csv": CsvSource,
    ".parquet": ParquetSource,
    ".pq": ParquetSource,
}
_CSV_OPTIONS = arrow_csv.WriteOptions(include_header=False)


@dataclass(frozen=True)
class LoadedTable:
    """Report one table: its name, columns with types, rows, notes and the time."""

    table: str
    columns: dict[str, str]
    rows: int
    notes: list[str]
    seconds: float


def files_of(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Return the loadable files as {table: file}, and the other files.

    Raises WarehouseError when the folder is missing, holds nothing to load, or two files share a table.
    """
    if not folder.is_dir():
        raise WarehouseError(f"{folder} is not a folder. Name a folder with CSV or Parquet files.")
    tables: dict[str, Path] = {}
    left_out: list[Path] = []
    for path in sorted(entry for entry in folder.iterdir() if entry.is_file()):
        table = safe_name(path.stem, "table")
        if path.suffix.lower() not in _READERS:
            left_out.append(path)
        elif table in tables:
            raise WarehouseError(
                f"{tables[table].name} and {path.name} would both become table {table!r}. Rename one of them."
            )
        else:
            tables[table] = path
    if not tables:
        raise WarehouseError(f"{folder} holds no .csv, .parquet or .pq file; there is nothing to load.")
    return tables, left_out


def load_file(connection: Connection, path: Path, table: str) -> LoadedTable:
    """Replace `public.table` by the rows of one file, all or nothing.

    Raises FileError, with the former table untouched, if the file or one of its values does not fit.
    """
    started = time.monotonic()
    source = _READERS[path.suffix.lower()](path)
    columns = safe_columns(source.raw_columns)
    notes = [
        f"column {raw!r} is called {name!r}"
        for raw, name in zip(source.raw_columns, columns, strict=True)
        if raw != name
    ]
    rows = _replace(connection, source, columns, table)
    types = dict(zip(columns, source.sql_types, strict=True))
    return LoadedTable(table, types, rows, notes + source.notes, time.monotonic() - started)


def _replace(connection: Connection, source: Source, columns: list[str], table: str) -> int:
    """Load with the inferred types; retry with text for a column whose values PostgreSQL refuses."""
    target = sql.Identifier("public", table)
    staging = sql.Identifier("public", f"_new_{os.getpid()}_{table}"[:MAX_NAME_BYTES])
    while True:
        try:
            with connection.transaction():
                _create(connection, staging, columns, source.sql_types)
                rows = copy_batches(connection, staging, source.batches())
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(target))
                rename = sql.SQL("ALTER TABLE {} RENAME TO {}").format(staging, sql.Identifier(table))
                connection.execute(rename)
                return rows
        except psycopg.errors.DependentObjectsStillExist as error:
            users = (error.diag.message_detail or "").replace("\n", "; ")
            problem = f"table {table!r} is used by other objects ({users})"
            raise FileError(source.path.name, problem, "Drop these first.") from error
        except psycopg.errors.WrongObjectType as error:
            problem = f"{table!r} exists and is not a table"
            raise FileError(source.path.name, problem, "Drop it or rename the file.") from error
        except psycopg.DataError as error:
            _fall_back_to_text(source, columns, error)
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            raise source.explain(error) from error


def _create(connection: Connection, table: sql.Identifier, columns: list[str], types: list[str]) -> None:
    definitions = [
        # The types are constants of this package, never text of the file.
        sql.SQL("{} " + kind).format(sql.Identifier(name))
        for name, kind in zip(columns, types, strict=True)
    ]
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(definitions)))


def copy_batches(connection: Connection, table: sql.Identifier, batches: Iterable[pa.RecordBatch]) -> int:
    """COPY record batches into an existing table, one in memory at a time, and return the row count."""
    rows = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(table)) as copy,
    ):
        for batch in batches:
            buffer = pa.BufferOutputStream()
            arrow_csv.write_csv(batch, buffer, _CSV_OPTIONS)
            copy.write(memoryview(buffer.getvalue()))
            rows += batch.num_rows
    return rows


def _fall_back_to_text(source: Source, columns: list[str], error: psycopg.DataError) -> None:
    """Change the refused column to text, or raise FileError if it is text already."""
    place = re.search(r"line (?P<row>\d+), column (?P<column>\w+)", error.diag.context or "")
    reason = (error.diag.message_primary or str(error)).strip()
    if place is None or place["column"] not in columns:
        raise source.explain(error) from error
    position = columns.index(place["column"])
    if source.sql_types[position] == "text":
        where = f"row {place['row']}, column {place['column']}: {reason}"
        raise FileError(source.path.name, where, "Mend that value; the table is as before.") from error
    source.notes.append(f"column {source.raw_columns[position]!r} is text because {reason}")
    source.sql_types[position] = "text"


def load_folder(dsn: str, folder: Path, say: Callable[[str], None] = print) -> list[FileError]:
    """Load every file of a folder, each in its own transaction, and return the failures."""
    tables, left_out = files_of(folder)
    failures: list[FileError] = []
    if left_out:
        say(f"left out, not .csv, .parquet or .pq: {', '.join(path.name for path in left_out)}")
    with connect(dsn) as connection:
        connection.autocommit = True
        for table, path in tables.items():
            size_mb = path.stat().st_size / 1e6
            say(f"{path.name} ({size_mb:,.1f} MB) -> public.{table} ...")
            try:
                _report(load_file(connection, path, table), say)
            except FileError as error:
                failures.append(error)
                say(f"  FAILED, table {table!r} is as before. {error}")
    return failures


def _report(loaded: LoadedTable, say: Callable[[str], None]) -> None:
    say(f"  {loaded.rows:,} rows in {loaded.seconds:.1f} s")
    say("  " + ", ".join(f"{name} {kind}" for name, kind in loaded.columns.items()))
    for note in loaded.notes:
        say(f"  note: {note}")
