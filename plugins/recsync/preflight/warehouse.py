"""Check a program's queries at its warehouse: what they return, and whether their ids meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsync import settings
from recsync.context import StageContext
from recsync.formatting import shape
from recsync.preflight.findings import Findings
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.program.queries import ProgramQuery, column_problems, program_queries
from recsync.program.recipes import Asks
from recsync.program.text_files import read_text_file
from recsync.recommend.list_inputs import query_catalogue
from recsync.recommend.lists.audience import OPTIONAL
from recsync.warehouse.hooks import Warehouse
from recsync.warehouse.preflight_queries import COMMON, PEOPLE, count_common, count_people
from recsync.warehouse.program_sql import export_query, interactions_query
from recsync.warehouse.select import map_columns
from recsync.warehouse.templates import render

# Ids of the audience and the catalog are looked for among the newest interactions first: most meet there.
_WINDOWS = (timedelta(days=1), timedelta(days=30))


@dataclass(frozen=True)
class _Described:
    """A query that the warehouse knows and whose columns are right."""

    query: ProgramQuery
    sql: str
    columns: dict[str, str]

    @property
    def path(self) -> str:
        """The SQL file with its first line, for messages about what it returns."""
        return _first_line(self.query.name)


def _first_line(name: str) -> str:
    return f"include/sql/{name}:1"


def check_warehouse(context: StageContext, findings: Findings, moment: datetime) -> None:
    """Describe every query at the warehouse, and look at what decides whether anybody gets a list."""
    source = None
    # With a wrong connection, every query would say the same.
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
    check.audience(described)
    check.catalogue(described)
    check.inputs(described)
    if context.program.personalize.traits.asks is not Asks.NOTHING:
        check.ids_meet(described, "audience", "user_id", DatasetType.INTERACTIONS, "USER_ID")
    if context.program.personalize.traits.asks is Asks.ACTIONS:
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
        """Decode, render and describe a query, for everything and for an hour, and compare its columns."""
        include, before = settings.include_folder(), len(self._findings.problems)
        found = None
        with self._findings.collecting(_first_line(query.name)):
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
                    wanted = [wanted.column for wanted in query.wanted]
                    names = {column.casefold(): column for column in returned}
                    optional = [column for column in (*query.optional, *OPTIONAL) if column in names]
                    found = _Described(
                        query, sql, map_columns(returned, [*wanted, *optional], name=query.name)
                    )
        return found if len(self._findings.problems) == before else None

    def exports(self, described: dict[str, _Described]) -> None:
        """Describe each export as it will be run, mapped and sorted."""
        program = self._context.program
        for kind, schema in self.schemas.items():
            if kind.folder in described:
                name = program.sql_file(kind.folder)
                with self._findings.collecting(_first_line(name)):
                    self._columns(export_query(program, kind, self._full, schema, self._source), name)

    def audience(self, described: dict[str, _Described]) -> None:
        """Look for people, for rows without an id, and for Braze users that are there more than once."""
        if "audience" in described:
            with self._findings.collecting(described["audience"].path):
                self._people(described["audience"])

    def _people(self, audience: _Described) -> None:
        person = "external_id" if "external_id" in audience.columns else "user_id"
        asked = {
            column: audience.columns[column]
            for column in ("user_id", *OPTIONAL)
            if column in audience.columns
        }
        question = count_people(audience.sql, asked, self._source.dialect)
        people, without, different = self._numbers(question, PEOPLE, audience.query.name)
        if not people:
            self._findings.problems.append(
                f"{audience.path}: returns nobody; an empty audience would remove every list. Correct the query."
            )
            return
        if without:
            self._findings.problems.append(
                f"{audience.path}: returns {without} row(s) without user_id or external_id; leave such rows out."
            )
        elif different < people:
            self._findings.problems.append(
                f"{audience.path}: returns {people} rows for {different} Braze users: {people - different} row(s) have "
                f"the {person} of another one, and two writes for one user would race. Return one row for each "
                f"{person}; does a join multiply rows?"
            )
        self._findings.checked.append(f"{people:,} people")
        if "item_id" in audience.columns:
            self._need_a_row(audience, "item_id", "no item for anybody, of which the lists would be made")

    def catalogue(self, described: dict[str, _Described]) -> None:
        """Read the catalogue as the lists will, so that nothing is found wrong with it after a billed job."""
        if "catalogue" in described:
            with self._findings.collecting(described["catalogue"].path):
                catalogue = query_catalogue(self._context, self._moment)
                report, path = catalogue.report, described["catalogue"].path
                if message := report.stop_message(self._context.program.checks):
                    self._findings.problems.append(f"{path}: {message}")
                else:
                    self._findings.notes += report.texts
                    self._findings.checked.append(f"{len(catalogue):,} items")

    def inputs(self, described: dict[str, _Described]) -> None:
        """Look for a row in each further query that a job's lines are made of."""
        for kind, found in described.items():
            if kind in {"candidates", "seeds", "segments", "promotion"}:
                self._need_a_row(found, "item_id", "no item, so the job would have no line")

    def ids_meet(
        self, described: dict[str, _Described], kind: str, column: str, dataset: DatasetType, its_column: str
    ) -> None:
        """Compare ids of the lists with those of a dataset, as the texts that are exported."""
        own, other = described.get(kind), described.get(dataset.folder)
        if own is None or other is None:
            return
        with self._findings.collecting(own.path):
            for interval in self._intervals(dataset):
                if self._in_common(own, column, dataset, its_column, interval):
                    return
            here, there = self._example(own, column), self._example(other, other.columns[its_column])
            if here is None or there is None:
                return  # an empty query is told where it is looked at
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

    def _need_a_row(self, found: _Described, column: str, text: str) -> None:
        with self._findings.collecting(found.path):
            if self._example(found, found.columns[column]) is None:
                self._findings.problems.append(f"{found.path}: returns {text}. Correct the query.")

    def _example(self, found: _Described, column: str) -> str | None:
        """Tell the shape of the first id that a query returns."""
        with self._source.read(found.sql, [column], name=found.query.name, ids=[column]) as rows:
            for batch in rows.batches:
                for value in batch[column].to_pylist():
                    if value:
                        return shape(value)
        return None

    def _numbers(self, query: str, columns: Sequence[str], name: str) -> list[int]:
        """Read the one row of a question."""
        with self._source.read(query, columns, name=name) as rows:
            found = [row for batch in rows.batches for row in batch.to_pylist()]
        return [int(found[0][column] or 0) for column in columns]

    def _columns(self, query: str, name: str) -> list[str]:
        return [column.name for column in self._source.columns(query, name=name)]
