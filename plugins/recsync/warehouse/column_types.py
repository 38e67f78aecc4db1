"""Recognise the declared types of the columns that a query returns."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from recsync.errors import FatalError


class Kind(Enum):
    """The type of a column, whatever the warehouse calls it."""

    TEXT = "text"
    INTEGER = "an integer"
    DECIMAL = "a decimal number"
    FLOAT = "a floating-point number"
    BOOLEAN = "a boolean"
    MOMENT = "a date or time"
    INTERVAL = "an interval"
    BINARY = "binary"
    ARRAY = "an array"
    JSON = "JSON"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ReturnedColumn:
    """One column of a query's result.

    :param type: the warehouse's name of the type; empty when the driver reports none.
    :param scale: decimal places of a decimal number; None when undeclared.
    """

    name: str
    type: str = ""
    kind: Kind = Kind.UNKNOWN
    scale: int | None = None

    @classmethod
    def of(cls, name: str, type_name: str, scale: int | None = None) -> ReturnedColumn:
        """Parse a warehouse's type name, e.g. ``DECIMAL(18,2)`` or ``text[]``."""
        word = " ".join(type_name.casefold().split())
        base, _, parameters = word.partition("(")
        base = base.strip()
        kind = next((kind for kind, pattern in _TYPES.items() if re.fullmatch(pattern, base)), Kind.TEXT)
        if word.endswith("[]") or re.search(r"\[[0-9]+\]$", word):
            kind = Kind.ARRAY
        if kind is Kind.DECIMAL:
            found = re.match(r"[0-9]+(?:\s*,\s*([0-9]+))?\)", parameters)
            scale = int(found[1] or 0) if found and scale is None else scale
            kind = Kind.INTEGER if scale == 0 else kind
        return cls(name, type_name, kind if word else Kind.UNKNOWN, scale)


# In PostgreSQL, Redshift, Snowflake, DuckDB, MySQL, SQL Server, BigQuery, Trino, Athena and SQLite. Other types are
# text: char, uuid, enum.
_TYPES = {
    Kind.INTEGER: r"(u?(tiny|small|big|huge)|medium|byte|u)?int(eger)?|int(2|4|8|64)|signed|unsigned",
    Kind.DECIMAL: r"numeric|(big)?(decimal|numeric)|number|fixed|dec|money",
    Kind.FLOAT: r"double( precision)?|real|float(4|8|16|32|64)?",
    Kind.BOOLEAN: r"bool(ean)?",
    Kind.MOMENT: r"date|timestamp.*|(small)?datetime(2|offset)?",
    Kind.INTERVAL: r"interval.*",
    Kind.BINARY: r"bytea|.*blob|(var)?binary|bytes|varbyte|image",
    Kind.ARRAY: r"array.*|list",
    Kind.JSON: r"jsonb?|variant|object|super|struct|map|record|row|union",
}
# Types that cannot be ids, and what to write instead.
_NO_IDS = {
    Kind.FLOAT: "CAST({0} AS BIGINT)",
    Kind.DECIMAL: "CAST({0} AS BIGINT)",
    Kind.BINARY: "its text, e.g. encode({0}, 'hex')",
    Kind.ARRAY: "one id per row",
    Kind.JSON: "the text of its key, e.g. {0} ->> 'id'",
    Kind.BOOLEAN: "the column that holds the id",
    Kind.INTERVAL: "the column that holds the id",
}


def check_ids(columns: Mapping[str, ReturnedColumn], ids: Collection[str], *, name: str) -> None:
    """Refuse ids of a type that has several texts for one value, or that cannot be an id.

    :param columns: by the name under which they are read.
    :param ids: the names of columns with ids.
    :param name: the SQL file, for errors.
    :raises FatalError: naming each such column, its type and what to write.
    """
    problems = [
        f"{column} is {found.kind.value} ({found.type or 'no type told'}), write {written} AS {column}"
        for column, found in columns.items()
        if column in ids
        and (written := _NO_IDS.get(found.kind, "").format(column))
        # Without a declared scale, the values decide.
        and not (found.kind is Kind.DECIMAL and found.scale is None)
    ]
    if problems:
        raise FatalError(
            f"{name} returns ids of a type that is no id: {'; '.join(problems)}. Ids are texts, integers or uuids: "
            "their text is the same everywhere."
        )
