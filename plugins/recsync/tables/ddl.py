"""Write the DDL of the tables, the statements that load them into a warehouse, and the query about one person.

Sources of the syntax:
https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html
https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_EXTERNAL_TABLE.html
https://docs.snowflake.com/en/sql-reference/sql/create-external-table
https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language
https://duckdb.org/docs/stable/data/partitioning/hive_partitioning
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from recsync.tables.schema import DATE, TABLES, ColumnKind, TableColumn, TableSchema


@dataclass(frozen=True)
class TableLocation:
    """Where the tables are on S3, and in which schema of the reader's account.

    :param uri: of the folder of all tables, without a slash at the end: ``s3://bucket/program/tables``.
    :param schema: schema, database or dataset of the external tables.
    :param access: the role, integration or connection for reading the bucket; empty: :attr:`DdlDialect.access`.
    :param since: first day of the partitions that Athena projects.
    """

    uri: str
    schema: str
    access: str = ""
    since: date = date(2026, 1, 1)

    @classmethod
    def of(cls, program: str, bucket: str, access: str = "") -> TableLocation:
        """Return the location of a program's tables."""
        return cls(f"s3://{bucket}/{program}/tables", schema_name(program), access)

    def table(self, table: TableSchema) -> str:
        """Return the folder of a table, without a slash at the end."""
        return f"{self.uri}/{table.name}"


def schema_name(program: str) -> str:
    """Name the schema of a program: hyphens, which schemas cannot have, become ``_``."""
    return "recsync_" + re.sub(r"\W", "_", program)


@dataclass(frozen=True)
class DdlDialect:
    """The SQL of one engine.

    :param sqlglot: its name for sqlglot, which the tests parse with.
    :param types: of the columns, in external tables.
    :param day: type of the partition column.
    :param create: yields the statements that create the tables.
    :param days: interval of ``{0}`` days.
    :param quotes: around an identifier.
    :param access: example of a role, storage integration or connection for reading the bucket.
    """

    sqlglot: str
    types: Mapping[ColumnKind, str]
    day: str
    create: Callable[[DdlDialect, TableLocation, Iterable[TableSchema]], Iterator[str]]
    days: str = "INTERVAL '{0}' DAY"
    quotes: str = ""
    access: str = ""

    def quoted(self, name: str) -> str:
        """Quote an identifier, where the engine needs it in DDL."""
        return f"{self.quotes}{name}{self.quotes}"

    def columns(self, table: TableSchema) -> list[str]:
        """Return name and type of each column."""
        return [f"{self.quoted(column.name)} {self.types[column.kind]}" for column in table.columns]


def ddl(
    location: TableLocation, dialect: str, tables: Iterable[TableSchema] = tuple(TABLES.values())
) -> list[str]:
    """Return the statements that make the tables readable, without a semicolon at the end."""
    engine = DIALECTS[dialect]
    return list(engine.create(engine, location, tables))


def partitions(
    location: TableLocation, days: Iterable[date], tables: Iterable[TableSchema] = tuple(TABLES.values())
) -> list[str]:
    """Return the statements that add days as partitions to Redshift Spectrum; the other engines find them."""
    listed = list(days)
    return [
        f"ALTER TABLE {location.schema}.{table.name} ADD IF NOT EXISTS PARTITION ({DATE}='{day.isoformat()}') "
        f"LOCATION '{location.table(table)}/{DATE}={day.isoformat()}/'"
        for table in tables
        for day in listed
    ]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _lines(parts: Sequence[str]) -> str:
    return ",\n  ".join(parts)


def _athena(engine: DdlDialect, location: TableLocation, tables: Iterable[TableSchema]) -> Iterator[str]:
    yield f"CREATE DATABASE IF NOT EXISTS `{location.schema}`"
    for table in tables:
        columns = [
            f"{written} COMMENT {_with_backslash(column.meaning)}"
            for written, column in zip(engine.columns(table), table.columns, strict=True)
        ]
        properties = {
            "projection.enabled": "true",
            f"projection.{DATE}.type": "date",
            f"projection.{DATE}.format": "yyyy-MM-dd",
            f"projection.{DATE}.range": f"{location.since.isoformat()},NOW",
            f"projection.{DATE}.interval": "1",
            f"projection.{DATE}.interval.unit": "DAYS",
            "storage.location.template": f"{location.table(table)}/{DATE}=${{{DATE}}}/",
        }
        written = _lines([f"'{name}' = '{value}'" for name, value in properties.items()])
        yield (
            f"CREATE EXTERNAL TABLE IF NOT EXISTS `{location.schema}`.`{table.name}` (\n  {_lines(columns)}\n)\n"
            f"COMMENT {_with_backslash(table.about)}\nPARTITIONED BY (`{DATE}` {engine.day})\nSTORED AS PARQUET\n"
            f"LOCATION '{location.table(table)}/'\nTBLPROPERTIES (\n  {written}\n)"
        )


def _spectrum(engine: DdlDialect, location: TableLocation, tables: Iterable[TableSchema]) -> Iterator[str]:
    yield (
        f"CREATE EXTERNAL SCHEMA IF NOT EXISTS {location.schema}\nFROM DATA CATALOG DATABASE '{location.schema}'\n"
        f"IAM_ROLE '{location.access or engine.access}'\nCREATE EXTERNAL DATABASE IF NOT EXISTS"
    )
    for table in tables:
        yield (
            f"CREATE EXTERNAL TABLE {location.schema}.{table.name} (\n  {_lines(engine.columns(table))}\n)\n"
            f"PARTITIONED BY ({DATE} {engine.day})\nSTORED AS PARQUET\nLOCATION '{location.table(table)}/'"
        )


def _snowflake(engine: DdlDialect, location: TableLocation, tables: Iterable[TableSchema]) -> Iterator[str]:
    yield f"CREATE SCHEMA IF NOT EXISTS {location.schema}"
    yield (
        f"CREATE STAGE IF NOT EXISTS {location.schema}.tables\nURL = '{location.uri}/'\n"
        f"STORAGE_INTEGRATION = {location.access or engine.access}\nFILE_FORMAT = (TYPE = PARQUET)"
    )
    for table in tables:
        columns = [
            f"{column.name} {engine.types[column.kind]} AS (value:{column.name}::{engine.types[column.kind]})"
            for column in table.columns
        ]
        day = f"{DATE} {engine.day} AS (TO_DATE(SPLIT_PART(SPLIT_PART(METADATA$FILENAME, '{DATE}=', 2), '/', 1)))"
        yield (
            f"CREATE EXTERNAL TABLE IF NOT EXISTS {location.schema}.{table.name} (\n  {_lines([*columns, day])}\n)\n"
            f"PARTITION BY ({DATE})\nLOCATION = @{location.schema}.tables/{table.name}/\nAUTO_REFRESH = FALSE\n"
            "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)\n"
            f"COMMENT = {_text(table.about)}"
        )


def refreshes(location: TableLocation, tables: Iterable[TableSchema] = tuple(TABLES.values())) -> list[str]:
    """Return the statements that make Snowflake find new, replaced and removed objects."""
    return [f"ALTER EXTERNAL TABLE {location.schema}.{table.name} REFRESH" for table in tables]


def _bigquery(engine: DdlDialect, location: TableLocation, tables: Iterable[TableSchema]) -> Iterator[str]:
    yield f"CREATE SCHEMA IF NOT EXISTS {location.schema}"
    for table in tables:
        columns = [
            f"{written} OPTIONS (description={_with_backslash(column.meaning)})"
            for written, column in zip(engine.columns(table), table.columns, strict=True)
        ]
        yield (
            f"CREATE EXTERNAL TABLE IF NOT EXISTS {location.schema}.{table.name} (\n  {_lines(columns)}\n)\n"
            f"WITH CONNECTION `{location.access or engine.access}`\n"
            f"WITH PARTITION COLUMNS ({DATE} {engine.day})\nOPTIONS (\n  "
            + _lines(
                [
                    "format = 'PARQUET'",
                    f"hive_partition_uri_prefix = '{location.table(table)}'",
                    f"uris = ['{location.table(table)}/*']",
                    f"description = {_with_backslash(table.about)}",
                ]
            )
            + "\n)"
        )


def _with_backslash(value: str) -> str:
    """Write a text for BigQuery, and for the DDL of Athena, which is Hive's."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _duckdb(engine: DdlDialect, location: TableLocation, tables: Iterable[TableSchema]) -> Iterator[str]:
    yield f"CREATE SCHEMA IF NOT EXISTS {location.schema}"
    for table in tables:
        # union_by_name: columns that were added later are null in older objects.
        yield (
            f"CREATE OR REPLACE VIEW {location.schema}.{table.name} AS\n"
            f"SELECT {', '.join([*table.names, DATE])}\nFROM read_parquet(\n  "
            f"'{location.table(table)}/*/*.parquet', union_by_name = true, hive_partitioning = true, "
            f"hive_types = {{'{DATE}': {engine.day}}}\n)"
        )


_STANDARD = {
    ColumnKind.TEXT: "VARCHAR",
    ColumnKind.INTEGER: "BIGINT",
    ColumnKind.NUMBER: "DOUBLE PRECISION",
    ColumnKind.BOOLEAN: "BOOLEAN",
    ColumnKind.TIME: "TIMESTAMP",
}
_BIGQUERY = {
    ColumnKind.TEXT: "STRING",
    ColumnKind.INTEGER: "INT64",
    ColumnKind.NUMBER: "FLOAT64",
    ColumnKind.BOOLEAN: "BOOL",
    ColumnKind.TIME: "TIMESTAMP",
}
DIALECTS: Mapping[str, DdlDialect] = {
    "athena": DdlDialect(
        "athena",
        {
            ColumnKind.TEXT: "string",
            ColumnKind.INTEGER: "bigint",
            ColumnKind.NUMBER: "double",
            ColumnKind.BOOLEAN: "boolean",
            ColumnKind.TIME: "timestamp",
        },
        "date",
        _athena,
        quotes="`",
    ),
    # VARCHAR alone is VARCHAR(256) there; reasons are longer.
    "redshift_spectrum": DdlDialect(
        "redshift",
        {**_STANDARD, ColumnKind.TEXT: "VARCHAR(4096)"},
        "DATE",
        _spectrum,
        days="INTERVAL '{0} days'",
        access="arn:aws:iam::123456789012:role/recsync-tables",
    ),
    "snowflake": DdlDialect(
        "snowflake",
        {
            **_STANDARD,
            ColumnKind.INTEGER: "NUMBER(38, 0)",
            ColumnKind.NUMBER: "FLOAT",
            ColumnKind.TIME: "TIMESTAMP_LTZ",
        },
        "DATE",
        _snowflake,
        days="INTERVAL '{0} days'",
        access="recsync",
    ),
    "bigquery": DdlDialect(
        "bigquery", _BIGQUERY, "DATE", _bigquery, days="INTERVAL {0} DAY", access="aws-us-east-1.recsync"
    ),
    "duckdb": DdlDialect(
        "duckdb",
        {**_STANDARD, ColumnKind.NUMBER: "DOUBLE", ColumnKind.TIME: "TIMESTAMP WITH TIME ZONE"},
        "DATE",
        _duckdb,
    ),
    # Cannot read S3: examples/load_tables copies the rows.
    "postgres": DdlDialect(
        "postgres",
        {**_STANDARD, ColumnKind.TEXT: "TEXT", ColumnKind.TIME: "TIMESTAMP WITH TIME ZONE"},
        "DATE",
        lambda *_: iter(()),
    ),
}
EXTERNAL = tuple(name for name in DIALECTS if name != "postgres")
"""The engines that read the objects on S3."""


def create_native(table: TableSchema, dialect: str, schema: str) -> str:
    """Return the statement that creates a native table of the warehouse, to load into.

    :param schema: schema or dataset of the table.
    """
    engine = DIALECTS[dialect]
    columns = [f"{column.name} {engine.types[column.kind]}" for column in table.columns]
    return f"CREATE TABLE IF NOT EXISTS {schema}.{table.name} (\n  {_lines([*columns, f'{DATE} {engine.day}'])}\n)"


def delete_partition(table: TableSchema, schema: str, program: str, day: date) -> str:
    """Return the statement that deletes a program's day from a native table."""
    return f"DELETE FROM {schema}.{table.name} WHERE {DATE} = DATE '{day.isoformat()}' AND program = {_text(program)}"


def load_partition(table: TableSchema, schema: str, source: str, program: str, day: date) -> list[str]:
    """Return the statements that load a day, for one transaction; repeating them is safe.

    :param schema: of the table to load into.
    :param source: schema of the external tables.
    """
    columns = ", ".join([*table.names, DATE])
    where = f"{DATE} = DATE '{day.isoformat()}' AND program = {_text(program)}"
    return [
        delete_partition(table, schema, program, day),
        f"INSERT INTO {schema}.{table.name} ({columns})\nSELECT {columns} FROM {source}.{table.name} WHERE {where}",
    ]


_PERSON_QUERY = """\
WITH person AS (
  SELECT {user} AS user_id
),
sent AS (
  SELECT a.*
  FROM {schema}.accounts a
  JOIN person p ON p.user_id = a.user_id
  WHERE a.date BETWEEN DATE '{since}' AND DATE '{until}'
),
happened AS (
  SELECT s.delivery, COUNT(*) AS outcomes, SUM(o.outcome_value) AS outcome_value
  FROM sent s
  JOIN {schema}.outcomes o
    ON o.user_id = s.user_id
    AND o.event = 'conversion'
    AND o.date >= DATE '{since}'
    AND o.happened_at >= s.planned_at
    AND o.happened_at < s.planned_at + {window}
  GROUP BY s.delivery
)
SELECT
  s.planned_at, s.delivery, s.outcome, s.reason, s.arm,
  l.position, l.item_id, l.tier, l.rule, l.solution_version,
  COALESCE(h.outcomes, 0) AS outcomes, h.outcome_value
FROM sent s
JOIN {schema}.deliveries d ON d.delivery = s.delivery
LEFT JOIN {schema}.lists l
  ON l.run = s.run
  AND l.user_id = s.user_id
  AND s.outcome IN ('sent', 'unchanged')
LEFT JOIN happened h ON h.delivery = s.delivery
ORDER BY s.planned_at, l.position"""


def person_query(
    dialect: str, schema: str, user_id: str, since: date, until: date, window_days: int = 7
) -> str:
    """Return the query of one person: lists with versions and arm by delivery, and the outcomes after it.

    A row per delivery and item; a delivery without a list is one row. ``outcomes`` and ``outcome_value`` are
    conversions within the window after the delivery, repeated in its rows. Windows of two deliveries may overlap.

    :param since: first day, ``until``: last day of the deliveries.
    """
    return _PERSON_QUERY.format(
        schema=schema,
        user=_with_backslash(user_id) if dialect == "bigquery" else _text(user_id),
        since=since.isoformat(),
        until=until.isoformat(),
        window=DIALECTS[dialect].days.format(window_days),
    )


def markdown(tables: Iterable[TableSchema] = tuple(TABLES.values())) -> str:
    """Return the schemas as docs/tables.md shows them."""
    return "\n".join(_section(table) for table in tables)


def _section(table: TableSchema) -> str:
    key = ", ".join(f"`{name}`" for name in table.key) or "none: rows as the query returned them"
    personal = "yes" if table.is_personal else "no"
    rows = [f"| `{c.name}` | {c.kind.value} | {_meaning(c)} |" for c in table.columns]
    return "\n".join(
        [
            f"### {table.name}",
            "",
            f"A row: {table.about}. Key: {key}. `date`: day of {table.day} (UTC). Personal data: {personal}.",
            "",
            "| column | type | meaning |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _meaning(column: TableColumn) -> str:
    return f"{column.meaning} (personal)" if column.personal else column.meaning
