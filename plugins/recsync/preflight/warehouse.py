"""Check a program's queries and ids at its warehouse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsync import settings
from recsync.context import StageContext
from recsync.formatting import shape
from recsync.preflight.check_programs import ProgramQuery, column_problems, program_queries
from recsync.preflight.findings import Findings
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.program.problems import read_text_file
from recsync.program.recipes import InputType
from recsync.recommend.list_inputs import query_catalog
from recsync.recommend.lists.audience import OPTIONAL
from recsync.warehouse.dialects import Dialect
from recsync.warehouse.event_mapping import map_columns, select_columns, text_type
from recsync.warehouse.hooks import Warehouse
from recsync.warehouse.program_sql import export_query, interactions_query
from recsync.warehouse.templates import render

PEOPLE = ("people", "without_id", "different")
COMMON = ("found",)
# Search ids of the audience and the catalog in the newest interactions first, where most are found.
_WINDOWS = (timedelta(days=1), timedelta(days=30))


@dataclass(frozen=True)
class _Described:
    """A query with the columns that the warehouse described."""

    query: ProgramQuery
    sql: str
    columns: dict[str, str]

    @property
    def path(self) -> str:
        """Return the SQL file and its first line, for messages about its rows."""
        return f"include/sql/{self.query.name}:1"


def check_warehouse(context: StageContext, findings: Findings, moment: datetime) -> None:
    """Describe every query at the warehouse, and check the rows and ids that lists need."""
    source = None
    # Report a wrong connection once, not for each query.
    with findings.collecting(("warehouse",)):
        connected = context.warehouse()
        connected.columns("SELECT 1 AS one", name="a first query")
        source = connected
    if source is None:
        return
    check = _Check(context, findings, moment, source)
    queries = program_queries(context.program, check.schemas)
    described = {query.kind: found for query in queries if (found := check.described(query))}
    findings.checked.append(f"{len(described)} queries at {context.program.warehouse}")
    check.exports(described)
    for kind, look in (("audience", check.audience), ("catalogue", check.catalog)):
        if kind in described:
            with findings.collecting(described[kind].path):
                look(described[kind])
    for kind, query in described.items():
        if kind in {"candidates", "seeds", "segments", "promotion"}:
            check.need_a_row(query, "item_id", "no item, so the job would have no line")
    input_type = context.program.personalize.recipe_spec.input_type
    if input_type is not InputType.NOTHING:
        check.ids_meet(described, "audience", "user_id", DatasetType.INTERACTIONS, "USER_ID")
    if input_type is InputType.ACTIONS:
        check.ids_meet(described, "catalogue", "item_id", DatasetType.ACTIONS, "ACTION_ID")
    else:
        check.ids_meet(described, "catalogue", "item_id", DatasetType.INTERACTIONS, "ITEM_ID")


class _Check:
    def __init__(
        self, context: StageContext, findings: Findings, moment: datetime, source: Warehouse
    ) -> None:
        self._context, self._findings, self._moment, self._source = context, findings, moment, source
        self._full = Interval.until(moment)
        self.schemas = {
            kind: settings.schema(context.program, kind) for kind in context.program.dataset_types
        }

    def described(self, query: ProgramQuery) -> _Described | None:
        """Render and describe a query, for everything and for an hour, and check its columns."""
        include, before = settings.include_folder(), len(self._findings.problems)
        found = None
        with self._findings.collecting(f"include/sql/{query.name}:1"):
            text = read_text_file(include / "sql" / query.name, f"include/sql/{query.name}")
            hour = Interval(self._moment - timedelta(hours=1), self._moment)
            rendered = [
                render(text, interval, name=query.name, dialect=self._source.dialect)
                for interval in ((self._full, hour) if query.intervals else (self._full,))
            ]
            for sql in reversed(list(dict.fromkeys(rendered))):
                returned = self._columns(sql, query.name)
                self._findings.problems += column_problems(self._findings.file, query, returned, include)
                if len(self._findings.problems) == before:
                    names = {column.casefold() for column in returned}
                    optional = [column for column in (*query.optional, *OPTIONAL) if column in names]
                    wanted = [*(wanted.column for wanted in query.wanted), *optional]
                    found = _Described(query, sql, map_columns(returned, wanted, name=query.name))
        return found if len(self._findings.problems) == before else None

    def exports(self, described: dict[str, _Described]) -> None:
        """Describe each export as it will be run, mapped and sorted."""
        program = self._context.program
        for kind, schema in self.schemas.items():
            if query := described.get(kind.folder):
                with self._findings.collecting(query.path):
                    sql = export_query(program, kind, self._full, schema, self._source)
                    self._columns(sql, query.query.name)

    def audience(self, audience: _Described) -> None:
        """Check that there are people, that each row has an id, and that no Braze user is there twice."""
        identifier = self._context.program.braze.identifier
        person = identifier if identifier in audience.columns else "user_id"
        optional = (identifier, *(column for column in OPTIONAL if column != "external_id"))
        columns = {
            column: audience.columns[column]
            for column in ("user_id", *optional)
            if column in audience.columns
        }
        question = count_people(audience.sql, columns, self._source.dialect, person)
        people, without, different = self._numbers(question, PEOPLE, audience.query.name)
        problems, path = self._findings.problems, audience.path
        if not people:
            problems.append(
                f"{path}: returns nobody; an empty audience would remove every list. Correct the query."
            )
            return
        if without:
            problems.append(
                f"{path}: returns {without} row(s) without user_id or {identifier}; leave such rows out."
            )
        elif different < people:
            problems.append(
                f"{path}: returns {people} rows for {different} Braze users: {people - different} row(s) have "
                f"the {person} of another one, and two writes for one user would race. Return one row for each "
                f"{person}; does a join multiply rows?"
            )
        self._findings.checked.append(f"{people:,} people")
        if "item_id" in audience.columns:
            self.need_a_row(audience, "item_id", "no item for anybody, of which the lists would be made")

    def catalog(self, described: _Described) -> None:
        """Read the catalogue as the lists will, so that its mistakes show before a billed job."""
        catalog = query_catalog(self._context, self._moment)
        if message := catalog.report.stop_message(self._context.program.checks):
            self._findings.problems.append(f"{described.path}: {message}")
        else:
            self._findings.notes += catalog.report.texts
            self._findings.checked.append(f"{len(catalog):,} items")

    def ids_meet(
        self, described: dict[str, _Described], kind: str, column: str, dataset: DatasetType, its_column: str
    ) -> None:
        """Check that ids of the lists are in a dataset, compared as the exported texts."""
        own, other = described.get(kind), described.get(dataset.folder)
        if own is None or other is None:
            return
        with self._findings.collecting(own.path):
            for interval in self._intervals(dataset):
                if self._in_common(own, column, dataset, its_column, interval):
                    return
            here, there = self._example(own, column), self._example(other, other.columns[its_column])
            if here is None or there is None:
                return  # reported by the check of that query
            self._findings.problems.append(
                f"{own.path}: none of its {column} is a {its_column} of include/sql/{other.query.name}, so no list "
                f"could be made: here they look like {here!r}, there like {there!r}. Return the same ids in both."
            )

    def _intervals(self, dataset: DatasetType) -> Iterator[Interval]:
        if dataset is DatasetType.INTERACTIONS:
            yield from (Interval(self._moment - window, self._moment) for window in _WINDOWS)
        yield self._full

    def _in_common(
        self, own: _Described, column: str, dataset: DatasetType, its_column: str, interval: Interval
    ) -> int:
        program = self._context.program
        if dataset is DatasetType.INTERACTIONS:
            returned = interactions_query(program, interval, self._source)
            theirs, columns = returned.query, returned.columns
        else:
            name = program.sql_file(dataset.folder)
            path = settings.include_folder() / "sql" / name
            text = read_text_file(path, f"include/sql/{name}")
            theirs = render(text, interval, name=name, dialect=self._source.dialect)
            columns = self._columns(theirs, name)
        other = map_columns(columns, [its_column], name=program.sql_file(dataset.folder))[its_column]
        question = count_common(own.sql, own.columns[column], theirs, other, self._source.dialect)
        return self._numbers(question, COMMON, own.query.name)[0]

    def need_a_row(self, found: _Described, column: str, text: str) -> None:
        """Report a query that returns no row with a value."""
        with self._findings.collecting(found.path):
            if self._example(found, found.columns[column]) is None:
                self._findings.problems.append(f"{found.path}: returns {text}. Correct the query.")

    def _example(self, found: _Described, column: str) -> str | None:
        """Return the shape of the first id of a query."""
        with self._source.read(found.sql, [column], name=found.query.name, ids=[column]) as rows:
            for batch in rows.batches:
                for value in batch[column].to_pylist():
                    if value:
                        return shape(value)
        return None

    def _numbers(self, query: str, columns: Sequence[str], name: str) -> list[int]:
        """Read the single row of a query."""
        with self._source.read(query, columns, name=name) as rows:
            found = [row for batch in rows.batches for row in batch.to_pylist()]
        return [int(found[0][column] or 0) for column in columns]

    def _columns(self, query: str, name: str) -> list[str]:
        return [column.name for column in self._source.columns(query, name=name)]


def count_people(query: str, columns: Mapping[str, str], dialect: Dialect, person: str) -> str:
    """Count the people of an audience, those without an id, and the Braze users (``PEOPLE``).

    :param columns: the columns by which people differ -> their names in the query.
    :param person: the one of them that names the Braze user.
    """
    different = dialect.quoted(person)
    if person == "email":  # Braze keeps addresses in lower case
        different = f"LOWER(TRIM({different}))"
    empty = " OR ".join(
        f"COALESCE(CAST({dialect.quoted(column)} AS {text_type(dialect)}), '') = ''"
        for column in dict.fromkeys(["user_id", person])
    )
    inner = select_columns(query, columns, ordered=False, dialect=dialect)
    return (
        f"SELECT COUNT(*) AS people, SUM(CASE WHEN {empty} THEN 1 ELSE 0 END) AS without_id, "
        f"COUNT(DISTINCT {different}) AS different\n"
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
