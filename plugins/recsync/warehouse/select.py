"""Map what a query returns to the columns that an export writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recsync.errors import FatalError
from recsync.warehouse.dialects import ANSI, Dialect


def map_columns(returned: Sequence[str], wanted: Sequence[str], *, name: str) -> dict[str, str]:
    """Find each wanted column among those a query returns; letter case does not matter.

    :returns: wanted column -> returned column, in wanted order.
    :raises FatalError: naming every missing column and what the query returns instead, or every wanted column that
        it returns more than once.
    """
    by_fold: dict[str, list[str]] = {}
    for column in returned:
        by_fold.setdefault(column.casefold(), []).append(column)
    missing = [column for column in wanted if column.casefold() not in by_fold]
    if missing:
        raise FatalError(
            f"{name} does not return the column(s) {', '.join(missing)}; it returns {', '.join(returned)}. "
            "Give the columns these names with AS."
        )
    twice = [column for column in wanted if len(by_fold[column.casefold()]) > 1]
    if twice:
        raise FatalError(
            f"{name} returns the column(s) {', '.join(twice)} more than once; leave one of each."
        )
    return {column: by_fold[column.casefold()][0] for column in wanted}


def select_none(query: str) -> str:
    """Wrap ``query`` so that it returns no row, only what its columns are called."""
    return f"SELECT * FROM (\n{query}\n) AS recsync_rows WHERE 1 = 0"


def select_columns(
    query: str,
    columns: Mapping[str, str],
    *,
    ordered: bool,
    dialect: Dialect = ANSI,
    templates: Mapping[str, str] | None = None,
) -> str:
    """Wrap ``query`` so that it returns exactly ``columns`` (new name -> old name), in that order.

    :param ordered: sort by every column, so that the same rows always give the same bytes. Snapshots of everything do
        without: a sort of the whole history costs the warehouse more than the export itself.
    :param templates: SQL for columns that are not returned as they are, by new name; ``{0}`` is the column.
    """
    # The query is the program's own and the names are quoted; nothing here comes from outside.
    written = templates or {}
    chosen = ", ".join(
        f"{written.get(new, '{0}').format(dialect.quoted(old))} AS {dialect.quoted(new)}"
        for new, old in columns.items()
    )
    wrapped = f"SELECT {chosen} FROM (\n{query}\n) AS recsync_rows"
    if ordered:
        keys = (dialect.sort_key(f"recsync_rows.{dialect.quoted(old)}") for old in columns.values())
        wrapped += f"\nORDER BY {', '.join(keys)}"
    return wrapped
