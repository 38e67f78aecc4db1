"""Describe SQL dialects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from recsync.warehouse.column_types import Kind

# Parts of a date or time in a form such as ``DD.MM.YYYY HH24:MI``, as PostgreSQL, Redshift and Snowflake write them,
# with a pattern of their text.
_FORM_PARTS = {
    "YYYY": "[0-9]{4}",
    "YY": "[0-9]{2}",
    "MM": "[0-9]{1,2}",
    "Mon": "[A-Za-z]{3}",
    "DD": "[0-9]{1,2}",
    "HH24": "[0-9]{1,2}",
    "HH12": "[0-9]{1,2}",
    "MI": "[0-9]{2}",
    "SS": "[0-9]{2}",
    "AM": "[AaPp][Mm]",
}
_FORM_TOKENS = re.compile("|".join(_FORM_PARTS))
# As strptime has them; MySQL has other letters for some.
_STRPTIME = {
    "YYYY": "%Y", "YY": "%y", "MM": "%m", "Mon": "%b", "DD": "%d", "HH24": "%H", "HH12": "%I", "MI": "%M", "SS": "%S",
    "AM": "%p",
}  # fmt: skip
_STR_TO_DATE = {**_STRPTIME, "HH12": "%h", "MI": "%i", "SS": "%s"}
_BY_PLACES = ("YYYY", "MM", "DD", "HH24", "MI", "SS")


def _check_form(form: str) -> None:
    others = _FORM_TOKENS.sub("", form)
    parts = set(_FORM_TOKENS.findall(form))
    if "DD" not in parts or not parts & {"YYYY", "YY"} or not re.fullmatch(r"[ ./:,_-]*", others):
        raise ValueError(
            f"{form!r} is no form of a date: write its parts {', '.join(_FORM_PARTS)}, such as 'DD.MM.YYYY HH24:MI'"
        )


@dataclass(frozen=True)
class Dialect:
    """One SQL dialect.

    :param name: as sqlglot and SQLAlchemy know it.
    :param epoch_template: epoch seconds of ``{0}``, floored: half a second before 1970 is -1. Without casts, which
        round differently in each dialect (PostgreSQL half away from zero, DuckDB half to even).
    :param epoch_number_template: epoch seconds, floored, of the number ``{0}``, of which ``{1}`` are one second.
    :param epoch_iso_template: epoch seconds, floored, of an ISO 8601 text, which is UTC without a zone; NULL for other
        texts where the dialect can say so.
    :param epoch_form_template: the same of a text of another form ``{1}``; empty: the text is cut at its places.
    :param form_tokens: how the dialect writes the parts of a form.
    :param number_template: the first number in a text, as digits with ``.`` and ``,``.
    :param tables: query of the schemas and names of all tables and views.
    :param limited: query of the first ``{1}`` rows of ``{0}``.
    :param substring: part of a text from the place ``{1}``, of the length ``{2}``.
    :param concatenated: text of several expressions, which ``{0}`` joins with ``separator``.
    :param sort_template: sort key of ``{0}`` by its bytes. A collation may call different texts equal, and then the
        order of rows is not repeatable.
    :param identifier_quotes: opening and closing quote of an identifier.
    :param backslash_escapes: whether a backslash in a string literal is an escape.
    :param quote_escape: a quote inside a string literal.
    :param line_comments: the starts of comments that end with the line.
    :param nested_comments: whether ``/* */`` can be nested.
    :param joined: SQL that joins the values of ``{0}`` with ``|``, for categorical fields, by the kind of ``{0}``.
    :param ordered_subqueries: whether a subquery keeps its order when only columns are taken from it.
    :param as_text: SQL that writes any other ``{0}`` as text, for warehouses that do not return rows as CSV.
    :param as_json: SQL that writes ``{0}`` as JSON, for kinds that the warehouse writes in another notation.
    """

    name: str
    epoch_template: str = "FLOOR(EXTRACT(EPOCH FROM {0}))"
    epoch_number_template: str = "CAST(FLOOR(CAST({0} AS DECIMAL(38, 9)) / {1}) AS BIGINT)"
    epoch_iso_template: str = "FLOOR(EXTRACT(EPOCH FROM CAST({0} AS TIMESTAMP WITH TIME ZONE)))"
    epoch_form_template: str = ""
    form_tokens: Mapping[str, str] = field(default_factory=dict)
    number_template: str = ""
    tables: str = (
        "SELECT table_schema AS schema_name, table_name AS table_name FROM information_schema.tables"
        " WHERE LOWER(table_schema) NOT IN"
        " ('information_schema', 'pg_catalog', 'pg_internal', 'pg_auto_copy', 'sys', 'mysql', 'performance_schema')"
    )
    limited: str = "SELECT * FROM {0} LIMIT {1}"
    substring: str = "SUBSTRING({0}, {1}, {2})"
    concatenated: tuple[str, str] = ("({0})", " || ")
    sort_template: str = "{0}"
    identifier_quotes: tuple[str, str] = ('"', '"')
    backslash_escapes: bool = False
    quote_escape: str = "''"
    line_comments: tuple[str, ...] = ("--",)
    nested_comments: bool = False
    ordered_subqueries: bool = False
    joined: Mapping[Kind, str] = field(default_factory=dict)
    as_text: str = "{0}"
    as_json: Mapping[Kind, str] = field(default_factory=dict)

    def epoch(self, expression: str) -> str:
        """Return SQL for the epoch seconds of a timestamp, floored; without a time zone it is UTC."""
        return self.epoch_template.format(f"({expression})")

    def epoch_number(self, expression: str, per_second: int) -> str:
        """Return SQL for the epoch seconds of a number of seconds, milliseconds and so on, floored."""
        return self.epoch_number_template.format(f"({expression})", per_second)

    def epoch_text(self, expression: str, form: str | None = None) -> str:
        """Return SQL for the epoch seconds of a text, floored; without a time zone it is UTC.

        :param form: of the text, such as ``DD.MM.YYYY HH24:MI``; None: ISO 8601.
        :raises ValueError: the form has parts that are not known here.
        """
        if form is None:
            return self.epoch_iso_template.format(f"({expression})")
        _check_form(form)
        if not self.epoch_form_template:
            return self.epoch_iso_template.format(self._iso_by_places(f"({expression})", form))
        written = _FORM_TOKENS.sub(lambda token: self.form_tokens.get(token[0], token[0]), form)
        pattern = "".join(
            _FORM_PARTS.get(part, f"[{part}]") for part in re.findall(rf"{_FORM_TOKENS.pattern}|.", form)
        )
        return self.epoch_form_template.format(f"({expression})", self.literal(written), f"'^ *{pattern}'")

    def _iso_by_places(self, text: str, form: str) -> str:
        places, place = {}, 1
        for part in re.findall(rf"{_FORM_TOKENS.pattern}|.", form):
            places[part] = (place, 4 if part == "YYYY" else 2)
            place += places[part][1] if part in _FORM_PARTS else 1
        if unknown := [part for part in places if part in _FORM_PARTS and part not in _BY_PLACES]:
            raise ValueError(
                f"{form!r}: {self.name} cannot read {', '.join(unknown)}; write the time in the query itself"
            )
        pieces = []
        for part, mark in zip(_BY_PLACES, ("-", "-", " ", ":", ":", ""), strict=True):
            cut = self.substring.format(text, *places[part]) if part in places else "'00'"
            pieces += [cut, f"'{mark}'"] if mark else [cut]
        joined, separator = self.concatenated
        return joined.format(separator.join(pieces))

    def number(self, expression: str, decimal: str = ".") -> str:
        """Return SQL for the number in a text such as ``1.234,50 EUR``; NULL without one.

        :param decimal: the mark before the decimal places, ``.`` or ``,``; the other one separates thousands.
        :raises ValueError: it is neither.
        """
        if decimal not in {".", ","}:
            raise ValueError(f"number(…, {decimal!r}): the decimal mark is '.' or ','")
        found = self.number_template.format(f"({expression})")
        if not self.number_template:
            found = f"({expression})"
            for sign in ("€", "$", "£", "¥", "EUR", "USD", "GBP", "CHF", " "):
                found = f"REPLACE({found}, '{sign}', '')"
        plain = f"REPLACE({found}, '{',' if decimal == '.' else '.'}', '')"
        plain = f"REPLACE({plain}, ',', '.')" if decimal == "," else plain
        return f"CAST(NULLIF({plain}, '') AS DECIMAL(18, 4))"

    def quoted(self, identifier: str) -> str:
        opening, closing = self.identifier_quotes
        return opening + identifier.replace(closing, closing * 2) + closing

    def literal(self, text: str) -> str:
        if self.backslash_escapes:
            text = text.replace("\\", "\\\\")
        return "'" + text.replace("'", self.quote_escape) + "'"

    def sort_key(self, expression: str) -> str:
        """Return the SQL to order by, so that the same rows always come in the same order."""
        return self.sort_template.format(expression)


POSTGRES = Dialect(
    "postgres",
    ordered_subqueries=True,
    # An infinite time has no epoch; the cast would fail the whole query.
    epoch_template="CASE WHEN isfinite({0}) THEN FLOOR(EXTRACT(EPOCH FROM {0}))::bigint END",
    # A text that is no time would fail the whole query.
    epoch_iso_template="CASE WHEN {0} ~ '^ *[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}'"
    " THEN FLOOR(EXTRACT(EPOCH FROM CAST({0} AS timestamptz)))::bigint END",
    epoch_form_template="CASE WHEN {0} ~ {2} THEN FLOOR(EXTRACT(EPOCH FROM TO_TIMESTAMP({0}, {1})))::bigint END",
    number_template="SUBSTRING({0} FROM '[0-9][0-9.,]*')",
    # As texts, because json and similar types have no order. The output is this text, so tied rows are equal.
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
    ordered_subqueries=True,
    # EXTRACT returns whole seconds for a timestamp and fractions for a timestamptz; DATE_TRUNC removes them first.
    # https://docs.aws.amazon.com/redshift/latest/dg/r_EXTRACT_function.html
    epoch_template="CAST(EXTRACT(EPOCH FROM DATE_TRUNC('second', {0})) AS BIGINT)",
    epoch_iso_template="CASE WHEN {0} ~ '^ *[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}'"
    " THEN CAST(EXTRACT(EPOCH FROM DATE_TRUNC('second', CAST({0} AS TIMESTAMPTZ))) AS BIGINT) END",
    epoch_form_template="CASE WHEN {0} ~ {2}"
    " THEN CAST(EXTRACT(EPOCH FROM DATE_TRUNC('second', TO_TIMESTAMP({0}, {1}))) AS BIGINT) END",
    number_template="REGEXP_SUBSTR({0}, '[0-9][0-9.,]*')",
    backslash_escapes=True,
    nested_comments=True,
)
SNOWFLAKE = Dialect(
    "snowflake",
    epoch_template="DATE_PART(EPOCH_SECOND, DATE_TRUNC('SECOND', {0}))",
    # A time without a zone would be one of the session's zone as TZ, and is UTC as NTZ, which drops the zone of others.
    epoch_iso_template="CASE WHEN REGEXP_LIKE({0}, '.*[0-9] ?(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?) *')"
    " AND {0} LIKE '%:%'"
    " THEN DATE_PART(EPOCH_SECOND, TRY_TO_TIMESTAMP_TZ({0}))"
    " ELSE DATE_PART(EPOCH_SECOND, TRY_TO_TIMESTAMP_NTZ({0})) END",
    epoch_form_template="DATE_PART(EPOCH_SECOND, TRY_TO_TIMESTAMP_NTZ({0}, {1}))",
    form_tokens={"Mon": "MON"},
    number_template="REGEXP_SUBSTR({0}, '[0-9][0-9.,]*')",
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
    ordered_subqueries=True,
    # EPOCH returns a float, which would round 0.9999999 seconds up to the next second.
    epoch_template="CASE WHEN isfinite({0}) THEN CAST(EPOCH(DATE_TRUNC('second', {0})) AS BIGINT) END",
    # Of decimals, "/" returns a float, which rounds nanoseconds up.
    epoch_number_template="CAST((FLOOR(CAST({0} AS DECIMAL(38, 9)))::HUGEINT"
    " - (FLOOR(CAST({0} AS DECIMAL(38, 9)))::HUGEINT % {1} + {1}) % {1}) // {1} AS BIGINT)",
    # DuckDB reads no zone behind a blank.
    epoch_iso_template="CAST(EPOCH(DATE_TRUNC('second',"
    " TRY_CAST(REGEXP_REPLACE({0}, ' +([+-])', '\\1') AS TIMESTAMPTZ))) AS BIGINT)",
    epoch_form_template="CAST(EPOCH(DATE_TRUNC('second', TRY_STRPTIME({0}, {1}))) AS BIGINT)",
    form_tokens=_STRPTIME,
    number_template="REGEXP_EXTRACT({0}, '[0-9][0-9.,]*')",
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
    ordered_subqueries=True,
    # SQLite rounds to milliseconds.
    epoch_template="CAST(STRFTIME('%s', {0}) AS INTEGER)",
    # Whole numbers only, and FLOOR is not in every build.
    epoch_number_template="(CAST({0} AS INTEGER) - (CAST({0} AS INTEGER) % {1} + {1}) % {1}) / {1}",
    # SQLite reads a zone with a colon only.
    epoch_iso_template="CAST(STRFTIME('%s', CASE WHEN SUBSTR({0}, -5, 1) IN ('+', '-')"
    " THEN SUBSTR({0}, 1, LENGTH({0}) - 2) || ':' || SUBSTR({0}, -2) ELSE {0} END) AS INTEGER)",
    tables="SELECT 'main' AS schema_name, name AS table_name FROM sqlite_master WHERE type IN ('table', 'view')",
    substring="SUBSTR({0}, {1}, {2})",
)
MYSQL = Dialect(
    "mysql",
    # UNIX_TIMESTAMP reads a DATETIME in the session's time zone and does not support times before 1970.
    epoch_template="TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', {0})"
    " - ({0} < TIMESTAMP '1970-01-01 00:00:00' AND MICROSECOND({0}) > 0)",
    epoch_number_template="CAST(FLOOR(CAST({0} AS DECIMAL(38, 9)) / {1}) AS SIGNED)",
    # MySQL would turn a time with a zone into one of the session's zone.
    epoch_iso_template="TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00',"
    " CAST(REPLACE(SUBSTRING({0}, 1, 19), 'T', ' ') AS DATETIME))"
    " - CASE WHEN {0} REGEXP ':.*[+-][0-9][0-9]:?[0-9][0-9]$' THEN"
    " (CASE WHEN {0} REGEXP '-[0-9][0-9]:?[0-9][0-9]$' THEN -1 ELSE 1 END) * ("
    "3600 * CAST(SUBSTRING(REPLACE(RIGHT({0}, 6), ':', ''), -4, 2) AS SIGNED)"
    " + 60 * CAST(RIGHT({0}, 2) AS SIGNED)) ELSE 0 END",
    epoch_form_template="TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', STR_TO_DATE({0}, {1}))",
    form_tokens=_STR_TO_DATE,
    number_template="REGEXP_SUBSTR({0}, '[0-9][0-9.,]*')",
    sort_template="CAST({0} AS BINARY)",
    identifier_quotes=("`", "`"),
    backslash_escapes=True,
    line_comments=("--", "#"),
)
MSSQL = Dialect(
    "mssql",
    # DATEDIFF counts the boundaries crossed, which floors on both sides of 1970.
    epoch_template="DATEDIFF_BIG(SECOND, '1970-01-01', {0})",
    # DATEDIFF_BIG does not look at the zone of its arguments.
    epoch_iso_template="DATEDIFF_BIG(SECOND, '1970-01-01',"
    " CAST(SWITCHOFFSET(TRY_CAST({0} AS DATETIMEOFFSET), '+00:00') AS DATETIME2))",
    limited="SELECT TOP {1} * FROM {0}",
    concatenated=("CONCAT({0})", ", "),
    identifier_quotes=("[", "]"),
    nested_comments=True,
)
BIGQUERY = Dialect(
    "bigquery",
    epoch_template="UNIX_SECONDS(TIMESTAMP({0}))",
    epoch_number_template="CAST(FLOOR(CAST({0} AS NUMERIC) / {1}) AS INT64)",
    epoch_iso_template="UNIX_SECONDS(SAFE_CAST({0} AS TIMESTAMP))",
    epoch_form_template="UNIX_SECONDS(SAFE.PARSE_TIMESTAMP({1}, {0}))",
    form_tokens=_STRPTIME,
    number_template="REGEXP_EXTRACT({0}, '[0-9][0-9.,]*')",
    identifier_quotes=("`", "`"),
    backslash_escapes=True,
    quote_escape="\\'",
    line_comments=("--", "#"),
    # Arrays and JSON have no order.
    sort_template="TO_JSON_STRING({0})",
    joined={
        Kind.ARRAY: "(SELECT STRING_AGG(CAST(part AS STRING), '|' ORDER BY place)"
        " FROM UNNEST({0}) AS part WITH OFFSET AS place)",
        Kind.JSON: "CASE JSON_TYPE(TO_JSON({0})) WHEN 'array'"
        " THEN ARRAY_TO_STRING(JSON_VALUE_ARRAY(TO_JSON({0})), '|') ELSE JSON_VALUE(TO_JSON({0})) END",
    },
    as_text="CAST({0} AS STRING)",
    as_json={Kind.ARRAY: "TO_JSON_STRING({0})", Kind.JSON: "TO_JSON_STRING({0})"},
)
# FROM_ISO8601_TIMESTAMP wants a T, no blank before the zone, and reads a time without a zone in the session's.
_TRINO_ISO = "REPLACE(REGEXP_REPLACE(TRIM({0}), ' +([+-])', '$1'), ' ', 'T')"
TRINO = Dialect(
    "trino",
    # A timestamp without a zone counts as UTC here.
    # https://trino.io/docs/current/functions/datetime.html#to_unixtime
    epoch_template="CAST(FLOOR(TO_UNIXTIME({0})) AS BIGINT)",
    epoch_iso_template="CAST(FLOOR(TO_UNIXTIME(TRY(FROM_ISO8601_TIMESTAMP("
    f"CASE WHEN REGEXP_LIKE({{0}}, ':.*(Z|[+-][0-9]{{{{2}}}}(:?[0-9]{{{{2}}}})?) *$') THEN {_TRINO_ISO}"
    f" WHEN {{0}} LIKE '%:%' THEN {_TRINO_ISO} || 'Z' ELSE TRIM({{0}}) || 'T00:00Z' END)))) AS BIGINT)",
    epoch_form_template="CAST(FLOOR(TO_UNIXTIME(TRY(DATE_PARSE({0}, {1})))) AS BIGINT)",
    form_tokens=_STR_TO_DATE,
    number_template="REGEXP_EXTRACT({0}, '[0-9][0-9.,]*')",
    joined={
        Kind.ARRAY: "ARRAY_JOIN({0}, '|')",
        Kind.JSON: "COALESCE(ARRAY_JOIN(TRY_CAST(CAST({0} AS JSON) AS ARRAY(VARCHAR)), '|'),"
        " JSON_EXTRACT_SCALAR(CAST({0} AS JSON), '$'))",
    },
    as_text="CAST({0} AS VARCHAR)",
    as_json={Kind.ARRAY: "JSON_FORMAT(CAST({0} AS JSON))", Kind.JSON: "JSON_FORMAT(CAST({0} AS JSON))"},
)
# Athena's queries are Trino's. https://docs.aws.amazon.com/athena/latest/ug/engine-versions-reference-0003.html
ATHENA = replace(TRINO, name="athena")
ANSI = Dialect(
    "ansi",
    # Not standard SQL, but what most databases call it.
    epoch_form_template="FLOOR(EXTRACT(EPOCH FROM TO_TIMESTAMP({0}, {1})))",
)

_BY_NAME = {
    dialect.name: dialect
    for dialect in (POSTGRES, REDSHIFT, SNOWFLAKE, DUCKDB, SQLITE, MYSQL, MSSQL, BIGQUERY, TRINO, ATHENA)
}
_OTHER_NAMES = {"postgresql": POSTGRES, "mariadb": MYSQL, "gcpbigquery": BIGQUERY}


def dialect_named(name: str) -> Dialect:
    """Return the dialect of a connection type or SQLAlchemy engine; standard SQL for unknown ones."""
    return _BY_NAME.get(name) or _OTHER_NAMES.get(name, ANSI)
