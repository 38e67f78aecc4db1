"""What the warehouses' SQL dialects say differently, as far as exports need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recsync.warehouse.query_columns import Kind


@dataclass(frozen=True)
class Dialect:
    """One SQL dialect.

    :param name: as sqlglot and SQLAlchemy know it.
    :param epoch_template: epoch seconds of ``{0}``, floored: half a second before 1970 is -1 in each dialect. Casts
        round differently in each (PostgreSQL half away from zero, DuckDB half to even), so none relies on one.
    :param sort_template: how ``{0}`` sorts by its bytes; without it, a collation may call different texts equal and
        give the same rows in another order.
    :param identifier_quotes: opening and closing quote of an identifier.
    :param backslash_escapes: whether a backslash in a string literal is an escape.
    :param quote_escape: how a string literal holds a quote.
    :param line_comments: what begins a comment that ends with its line.
    :param nested_comments: whether ``/* */`` may hold another one.
    :param joined: the text of a categorical field, whose values are joined with ``|``, by what ``{0}`` is.
    :param as_json: the JSON text of what would be written in the warehouse's own notation, by what ``{0}`` is.
    """

    name: str
    epoch_template: str = "FLOOR(EXTRACT(EPOCH FROM {0}))"
    sort_template: str = "{0}"
    identifier_quotes: tuple[str, str] = ('"', '"')
    backslash_escapes: bool = False
    quote_escape: str = "''"
    line_comments: tuple[str, ...] = ("--",)
    nested_comments: bool = False
    joined: Mapping[Kind, str] = field(default_factory=dict)
    as_json: Mapping[Kind, str] = field(default_factory=dict)

    def epoch(self, expression: str) -> str:
        """Write the epoch seconds of a timestamp, floored.

        A timestamp without time zone is taken as UTC.

        :param expression: SQL; a column, most often.
        """
        return self.epoch_template.format(f"({expression})")

    def quoted(self, identifier: str) -> str:
        """Quote an identifier."""
        opening, closing = self.identifier_quotes
        return opening + identifier.replace(closing, closing * 2) + closing

    def literal(self, text: str) -> str:
        """Write a text as a string literal."""
        if self.backslash_escapes:
            text = text.replace("\\", "\\\\")
        return "'" + text.replace("'", self.quote_escape) + "'"

    def sort_key(self, expression: str) -> str:
        """Write what to order by, so that the same rows always come in the same order."""
        return self.sort_template.format(expression)


POSTGRES = Dialect(
    "postgres",
    # An infinite time has no epoch; the cast would end the whole query.
    epoch_template="CASE WHEN isfinite({0}) THEN FLOOR(EXTRACT(EPOCH FROM {0}))::bigint END",
    # As texts, because json and the like know no order; the output is the text, so rows that tie are alike.
    sort_template='{0}::text COLLATE "C"',
    nested_comments=True,
    joined={
        Kind.ARRAY: "array_to_string({0}, '|')",
        Kind.JSON: "CASE jsonb_typeof({0}::jsonb) WHEN 'array' THEN ("
        "SELECT string_agg(part.value, '|' ORDER BY part.place)"
        " FROM jsonb_array_elements_text({0}::jsonb) WITH ORDINALITY AS part (value, place))"
        " ELSE {0}::jsonb #>> '{{}}' END",
    },
    as_json={Kind.ARRAY: "to_json({0})"},
)
REDSHIFT = Dialect(
    "redshift",
    # EXTRACT gives whole seconds for a timestamp and fractions for a timestamptz; what rounds, DATE_TRUNC took away.
    # https://docs.aws.amazon.com/redshift/latest/dg/r_EXTRACT_function.html
    epoch_template="CAST(EXTRACT(EPOCH FROM DATE_TRUNC('second', {0})) AS BIGINT)",
    backslash_escapes=True,
    nested_comments=True,
)
SNOWFLAKE = Dialect(
    "snowflake",
    epoch_template="DATE_PART(EPOCH_SECOND, DATE_TRUNC('SECOND', {0}))",
    backslash_escapes=True,
    line_comments=("--", "//"),
    joined={
        Kind.ARRAY: "ARRAY_TO_STRING({0}, '|')",
        Kind.JSON: "CASE WHEN IS_ARRAY(TO_VARIANT({0})) THEN ARRAY_TO_STRING(TO_ARRAY({0}), '|')"
        " ELSE TO_VARIANT({0})::VARCHAR END",
    },
)
DUCKDB = Dialect(
    "duckdb",
    # EPOCH gives a float, which has no room for nanoseconds: 0.9999999 of them would be the next second.
    epoch_template="CASE WHEN isfinite({0}) THEN CAST(EPOCH(DATE_TRUNC('second', {0})) AS BIGINT) END",
    nested_comments=True,
    joined={
        Kind.ARRAY: "array_to_string({0}, '|')",
        Kind.JSON: "CASE json_type(to_json({0})) WHEN 'ARRAY' THEN array_to_string(to_json({0}) ->> '$[*]', '|')"
        " ELSE to_json({0}) ->> '$' END",
    },
    as_json={Kind.ARRAY: "to_json({0})", Kind.JSON: "to_json({0})"},
)
SQLITE = Dialect(
    "sqlite",
    # SQLite itself knows no more than milliseconds, to which it rounds.
    epoch_template="CAST(STRFTIME('%s', {0}) AS INTEGER)",
)
MYSQL = Dialect(
    "mysql",
    # UNIX_TIMESTAMP reads a DATETIME in the session's time zone and knows nothing before 1970.
    epoch_template="TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', {0})"
    " - ({0} < TIMESTAMP '1970-01-01 00:00:00' AND MICROSECOND({0}) > 0)",
    sort_template="CAST({0} AS BINARY)",
    identifier_quotes=("`", "`"),
    backslash_escapes=True,
    line_comments=("--", "#"),
)
MSSQL = Dialect(
    "mssql",
    # DATEDIFF counts the boundaries crossed, which floors on both sides of 1970.
    epoch_template="DATEDIFF_BIG(SECOND, '1970-01-01', {0})",
    identifier_quotes=("[", "]"),
    nested_comments=True,
)
BIGQUERY = Dialect(
    "bigquery",
    epoch_template="UNIX_SECONDS(TIMESTAMP({0}))",
    identifier_quotes=("`", "`"),
    backslash_escapes=True,
    quote_escape="\\'",
    line_comments=("--", "#"),
)
ANSI = Dialect("ansi")

_BY_NAME = {
    dialect.name: dialect
    for dialect in (POSTGRES, REDSHIFT, SNOWFLAKE, DUCKDB, SQLITE, MYSQL, MSSQL, BIGQUERY)
}
_OTHER_NAMES = {"postgresql": POSTGRES, "mariadb": MYSQL, "gcpbigquery": BIGQUERY}


def dialect_named(name: str) -> Dialect:
    """Find the dialect of a connection type or of a SQLAlchemy engine; standard SQL when it is none of ours."""
    return _BY_NAME.get(name) or _OTHER_NAMES.get(name, ANSI)
