"""Map the columns of a query to the columns of an export, and its rows to events.

The SQL is the part that PostgreSQL, Redshift, Snowflake, DuckDB and sqlite share, with the same meaning in each;
other warehouses differ from it in the names of types and little else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from recsync.errors import FatalError
from recsync.program.data import Events
from recsync.warehouse.column_types import ReturnedColumn
from recsync.warehouse.dialects import ANSI, Dialect


def map_columns(returned: Sequence[str], wanted: Sequence[str], *, name: str) -> dict[str, str]:
    """Find each wanted column among the columns of a query, ignoring case.

    :returns: wanted column -> returned column, in wanted order.
    :raises FatalError: naming the missing columns, or those that are returned more than once.
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
    """Wrap ``query`` so that it returns its columns but no rows."""
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

    :param ordered: sort by every column, so that the same rows always give the same bytes. Full snapshots are not:
        the sort would cost the warehouse more than the export itself.
    :param templates: SQL for columns to convert, by new name; ``{0}`` is the column. Others are written as the
        dialect writes texts.
    """
    # No injection: the query is the program's own and the names are quoted.
    written = templates or {}
    chosen = ", ".join(
        f"{written.get(new, dialect.as_text).format(dialect.quoted(old))} AS {dialect.quoted(new)}"
        for new, old in columns.items()
    )
    wrapped = f"SELECT {chosen} FROM (\n{query}\n) AS recsync_rows"
    if ordered:
        keys = (dialect.sort_key(f"recsync_rows.{dialect.quoted(old)}") for old in columns.values())
        wrapped += f"\nORDER BY {', '.join(keys)}"
    return wrapped


def with_empty_columns(
    returned: ReturnedQuery, wanted: Iterable[str], dialect: Dialect = ANSI
) -> ReturnedQuery:
    """Wrap a query so that it also returns missing text columns, as NULL."""
    there = {column.casefold() for column in returned.columns}
    missing = [column for column in wanted if column.casefold() not in there]
    if not missing:
        return returned
    empty = ", ".join(f"CAST(NULL AS {text_type(dialect)}) AS {dialect.quoted(column)}" for column in missing)
    query = f"SELECT recsync_given.*, {empty} FROM (\n{returned.query}\n) AS recsync_given"
    return replace(returned, query=query, columns=[*returned.columns, *missing])


_EVENTS, _EXCLUDED, _NUMBERED = "recsync_events", "recsync_excluded", "recsync_numbered"
_EXCLUDED_USER, _IN_HOUR, _IN_SESSION = "recsync_user", "recsync_in_hour", "recsync_in_session"
_SECONDS_PER_MINUTE, _SECONDS_PER_HOUR = 60, 3_600
USER, ITEM, TIME, TYPE, VALUE = "USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"


@dataclass(frozen=True)
class _Types:
    """The names of types in a dialect, and its remainder expression."""

    text: str = "VARCHAR"
    integer: str = "BIGINT"
    double: str = "DOUBLE PRECISION"
    remainder: str = "{0} % {1}"


_TYPES = {
    "mysql": _Types("CHAR", "SIGNED", "DOUBLE"),
    # Without a length, a cast truncates to 30 characters; ids have at most 256.
    "mssql": _Types("NVARCHAR(256)", "BIGINT", "FLOAT"),
    "bigquery": _Types("STRING", "INT64", "FLOAT64", "MOD({0}, {1})"),
    "trino": _Types(double="DOUBLE"),
    "athena": _Types(double="DOUBLE"),
}


@dataclass(frozen=True)
class ReturnedQuery:
    """A rendered query and its columns.

    :param name: the SQL file below ``include/sql``, for errors.
    :param columns: as the warehouse names them.
    :param types: by name of the column.
    """

    name: str
    query: str
    columns: Sequence[str]
    types: Mapping[str, ReturnedColumn] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, query: str, columns: Sequence[ReturnedColumn]) -> ReturnedQuery:
        return cls(
            name, query, [column.name for column in columns], {column.name: column for column in columns}
        )


def map_events(
    interactions: ReturnedQuery,
    events: Events,
    *,
    exported: Sequence[str],
    excluded: ReturnedQuery | None = None,
    dialect: Dialect = ANSI,
) -> str:
    """Wrap the interactions query in the program's event rules: types, weights, limits, sessions and excluded users.

    It returns the same columns under the same names, and ``EVENT_VALUE`` too when every type has a weight.

    :param exported: the schema's columns, which order the events of one second.
    :param excluded: the query of ``events.exclude_users``.
    :raises FatalError: naming the required columns that are missing.
    :raises ValueError: when ``excluded`` is given without ``events.exclude_users``, or missing with it.
    """
    if (excluded is None) != (events.exclude_users is None):
        raise ValueError("events.exclude_users and its query belong together")
    if events.change_nothing:
        return interactions.query
    return _Mapping(interactions, events, exported, excluded, dialect).sql()


def text_type(dialect: Dialect) -> str:
    """Return the type to cast to text."""
    return _TYPES.get(dialect.name, _Types()).text


def _cast(expression: str, kind: str) -> str:
    return f"CAST({expression} AS {kind})"


class _Mapping:
    def __init__(
        self,
        interactions: ReturnedQuery,
        events: Events,
        exported: Sequence[str],
        excluded: ReturnedQuery | None,
        dialect: Dialect,
    ) -> None:
        self._interactions, self._events, self._excluded = interactions, events, excluded
        self._dialect, self._types = dialect, _TYPES.get(dialect.name, _Types())
        returned = {column.casefold() for column in interactions.columns}
        optional = [column for column in (TYPE, VALUE, *exported) if column.casefold() in returned]
        wanted = dict.fromkeys([*self._needed(), *optional])
        self._columns = map_columns(interactions.columns, list(wanted), name=interactions.name)
        self._exported = [self._columns[column] for column in exported if column in self._columns]

    def _needed(self) -> Iterator[str]:
        yield from (USER, ITEM, TIME)
        if self._events.types:
            yield TYPE
        # A type without a weight keeps the value of the query.
        if 0 < len(self._events.weights) < len(self._events.types):
            yield VALUE

    def sql(self) -> str:
        numbered = ", ".join([f"{_EVENTS}.*", *self._numbers()])
        lines = [
            f"SELECT {', '.join(self._selected())}",
            f"FROM (SELECT {numbered} FROM (",
            self._interactions.query,
            f") AS {_EVENTS}) AS {_NUMBERED}",
            *self._without_excluded(),
        ]
        conditions = list(self._conditions())
        return "\n".join([*lines, f"WHERE {' AND '.join(conditions)}"] if conditions else lines)

    def _column(self, column: str, table: str = _NUMBERED) -> str:
        return f"{table}.{self._dialect.quoted(self._columns[column])}"

    def _numbers(self) -> Iterator[str]:
        user, item = (self._column(column, _EVENTS) for column in (USER, ITEM))
        if self._events.max_per_user_and_hour is not None:
            yield f"COUNT(*) OVER (PARTITION BY {user}, {self._window(_SECONDS_PER_HOUR)}) AS {_IN_HOUR}"
        if self._events.session_minutes is not None:
            window = self._window(self._events.session_minutes * _SECONDS_PER_MINUTE)
            kind = [self._column(TYPE, _EVENTS)] if TYPE in self._columns else []
            same = ", ".join([user, item, *kind, window])
            # All exported columns break ties, so that a rerun gives the same rows.
            ties = [
                self._dialect.sort_key(f"{_EVENTS}.{self._dialect.quoted(name)}") for name in self._exported
            ]
            first = ", ".join([self._column(TIME, _EVENTS), *ties])
            yield f"ROW_NUMBER() OVER (PARTITION BY {same} ORDER BY {first}) AS {_IN_SESSION}"

    def _window(self, seconds: int) -> str:
        time = _cast(self._column(TIME, _EVENTS), self._types.integer)
        return f"{time} - {self._types.remainder.format(time, seconds)}"

    def _selected(self) -> Iterator[str]:
        quoted, value = self._dialect.quoted, self._columns.get(VALUE)
        # A column that is returned twice cannot be selected, so it is skipped.
        for name in [name for name, count in Counter(self._interactions.columns).items() if count == 1]:
            if name == value and self._events.weights:
                yield f"{self._value()} AS {quoted(name)}"
            else:
                yield f"{_NUMBERED}.{quoted(name)} AS {quoted(name)}"
        if value is None and self._events.weights:
            yield f"{self._value()} AS {quoted(VALUE)}"

    def _value(self) -> str:
        kind = self._column(TYPE)
        cases = " ".join(
            f"WHEN {kind} = {self._dialect.literal(name)} THEN {_cast(repr(weight), self._types.double)}"
            for name, weight in self._events.weights.items()
        )
        otherwise = f" ELSE {self._column(VALUE)}" if VALUE in self._columns else ""
        return f"CASE {cases}{otherwise} END"

    def _without_excluded(self) -> Iterator[str]:
        if self._excluded is None:
            return
        names = map_columns(self._excluded.columns, [USER], name=self._excluded.name)
        staff = _cast(f"{_EXCLUDED}.{self._dialect.quoted(names[USER])}", self._types.text)
        # A join and not NOT EXISTS: Redshift does not run every correlated subquery. Ids are compared as texts, as
        # they are exported, so 7 and '7' are the same user.
        yield f"LEFT JOIN (SELECT DISTINCT {staff} AS {_EXCLUDED_USER} FROM ("
        yield self._excluded.query
        yield f") AS {_EXCLUDED}) AS {_EXCLUDED}"
        user = _cast(self._column(USER), self._types.text)
        yield f"ON {_EXCLUDED}.{_EXCLUDED_USER} = {user}"

    def _conditions(self) -> Iterator[str]:
        if self._excluded is not None:
            yield f"{_EXCLUDED}.{_EXCLUDED_USER} IS NULL"
        if self._events.types:
            yield f"{self._column(TYPE)} IN ({', '.join(map(self._dialect.literal, self._events.types))})"
        # A row without user, item or time passes every limit, so that the row checks report it.
        broken = [f"{self._column(column)} IS NULL" for column in (USER, TIME)]
        if (most := self._events.max_per_user_and_hour) is not None:
            yield f"({' OR '.join([f'{_NUMBERED}.{_IN_HOUR} <= {most}', *broken])})"
        if self._events.session_minutes is not None:
            broken.append(f"{self._column(ITEM)} IS NULL")
            yield f"({' OR '.join([f'{_NUMBERED}.{_IN_SESSION} = 1', *broken])})"
