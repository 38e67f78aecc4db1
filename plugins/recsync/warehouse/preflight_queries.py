"""Write the queries by which a preflight looks at what other queries return."""

from __future__ import annotations

from collections.abc import Mapping

from recsync.warehouse.dialects import Dialect
from recsync.warehouse.event_mapping import text_type
from recsync.warehouse.select import select_columns

PEOPLE = ("people", "without_id", "different")
COMMON = ("found",)


def count_people(query: str, columns: Mapping[str, str], dialect: Dialect) -> str:
    """Count the people of an audience, those without an id, and the Braze users (``PEOPLE``).

    :param columns: the columns that make two people different, as the query names them, by their own name.
    """
    person = "external_id" if "external_id" in columns else "user_id"
    empty = " OR ".join(
        f"COALESCE(CAST({dialect.quoted(column)} AS {text_type(dialect)}), '') = ''"
        for column in dict.fromkeys(["user_id", person])
    )
    inner = select_columns(query, columns, ordered=False, dialect=dialect)
    return (
        f"SELECT COUNT(*) AS people, SUM(CASE WHEN {empty} THEN 1 ELSE 0 END) AS without_id, "
        f"COUNT(DISTINCT {dialect.quoted(person)}) AS different\n"
        f"FROM (SELECT DISTINCT * FROM (\n{inner}\n) AS recsync_audience) AS recsync_people"
    )


def count_common(query: str, column: str, other: str, other_column: str, dialect: Dialect) -> str:
    """Count the ids that two queries have in common, as texts (``COMMON``)."""
    own, theirs = _ids(query, column, dialect), _ids(other, other_column, dialect)
    return (
        f"SELECT COUNT(*) AS found FROM (\n{own}\n) AS recsync_own "
        f"JOIN (\n{theirs}\n) AS recsync_other ON recsync_own.id = recsync_other.id"
    )


def _ids(query: str, column: str, dialect: Dialect) -> str:
    text = f"CAST(recsync_rows.{dialect.quoted(column)} AS {text_type(dialect)})"
    return f"SELECT DISTINCT {text} AS id FROM (\n{query}\n) AS recsync_rows"
