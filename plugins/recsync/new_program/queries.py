"""Write the SQL of a proposal: its columns as expressions, and the queries that are made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsync.new_program import columns as looks
from recsync.new_program.columns import Ref, Table
from recsync.new_program.proposal import Proposal
from recsync.new_program.time_forms import TimeForm, time_form
from recsync.warehouse.column_types import Kind
from recsync.warehouse.dialects import Dialect

TIMES = ("row_count", "readable", "newest")
# Words that most warehouses take for their own.
_RESERVED = looks.vocabulary(
    "all and as between by case column create current_date date default desc distinct end event for from "
    "group having in index interval into is join key left level like limit name no not null number of "
    "offset on option or order percent position range rank right row rows schema select session set start "
    "table then time timestamp to type union user using value values view when where year zone"
)
_SCHEMA_NAMES = frozenset(
    {"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE", "CREATION_TIMESTAMP"}
)


@dataclass(frozen=True)
class QueryField:
    """A column of a query and of an Avro schema."""

    name: str
    sql: str
    type: str = "string"
    nullable: bool = True
    categorical: bool = False

    @property
    def avro(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": self.name.upper(),
            "type": ["null", self.type] if self.nullable else self.type,
        }
        return {**found, "categorical": True} if self.categorical else found


def _quoted(name: str, dialect: Dialect) -> str:
    """Return a name as the warehouse reads it, quoted where it has to be."""
    upper = dialect.name in {"snowflake", "ansi"}
    plain = re.fullmatch(r"[A-Z_][A-Z0-9_]*" if upper else r"[a-z_][a-z0-9_]*", name)
    return name if plain and name.casefold() not in _RESERVED else dialect.quoted(name)


class _Columns:
    """Columns of a proposal in the SQL of one query.

    :param aliases: of the tables that the query reads; empty: it reads one, which needs none.
    """

    def __init__(self, proposal: Proposal, dialect: Dialect, aliases: Mapping[str, str]) -> None:
        self._p, self._dialect, self._aliases = proposal, dialect, aliases

    def sql(self, ref: Ref) -> str:
        """Return a column."""
        alias = f"{self._aliases[ref.table]}." if self._aliases else ""
        return f"{alias}{_quoted(ref.column, self._dialect)}"

    def id(self, ref: Ref) -> str:
        """Return a column of ids."""
        column, sql = self._p.column(ref), self.sql(ref)
        # A number with decimal places has several texts.
        return f"CAST({sql} AS BIGINT)" if column.kind in {Kind.FLOAT, Kind.DECIMAL} else sql

    def number(self, ref: Ref) -> str:
        """Return a column of prices."""
        column, sql = self._p.column(ref), self.sql(ref)
        if mark := looks.price_mark(column):
            quoted = sql.replace("'", "\\'")
            return f"{{{{ number('{quoted}'{', ' + repr(mark) if mark != '.' else ''}) }}}}"
        if {"cent", "cents", "pence"} & set(looks.words(ref.column)) and column.kind is Kind.INTEGER:
            return f"{sql} / 100.0"
        return sql

    def filled(self, ref: Ref) -> list[str]:
        """Return conditions that leave out rows without a value, where there are such rows."""
        column, sql = self._p.column(ref), self.sql(ref)
        if not self._p.table(ref).empty_share(ref.column):
            return []
        return [f"{sql} IS NOT NULL", *([f"{sql} <> ''"] if column.kind is Kind.TEXT else [])]

    def within(self, ref: Ref, form: TimeForm) -> list[str]:
        """Return the conditions that a time is in the interval."""
        column, sql = self._p.column(ref), self.sql(ref)
        if form.helper == "epoch" and column.type.casefold() != "date":
            return [f"{sql} >= '{{{{ data_interval_start }}}}'", f"{sql} < '{{{{ data_interval_end }}}}'"]
        start, end = "data_interval_start_epoch", "data_interval_end_epoch"
        if form.helper in {"epoch", "epoch_text"} or column.kind is Kind.TEXT:
            written = self.epoch(ref, form)
            return [f"{written} >= {{{{ {start} }}}}", f"{written} < {{{{ {end} }}}}"]
        unit = f" * {form.per_second}" if form.per_second > 1 else ""
        return [f"{sql} >= {{{{ {start}{unit} }}}}", f"{sql} < {{{{ {end}{unit} }}}}"]

    def epoch(self, ref: Ref, form: TimeForm) -> str:
        """Return a time in seconds since 1970."""
        sql = self.sql(ref)
        if form.helper == "epoch_text" and self._p.column(ref).kind is not Kind.TEXT:
            sql = f"CAST({sql} AS VARCHAR(8))"
        return form.sql(sql)

    def flag(self, ref: Ref, *, yes: bool) -> str:
        """Return the condition that a column says yes, or no."""
        column, sql = self._p.column(ref), self.sql(ref)
        if looks.flag_values(column) is None and time_form(column):
            return f"{sql} IS NOT NULL" if yes else f"{sql} IS NULL"
        if column.kind is Kind.BOOLEAN:
            true = "1" if self._dialect.name == "mssql" else "TRUE"
            return f"{sql} = {true}" if yes else f"({sql} IS NULL OR {sql} <> {true})"
        if column.kind in looks.NUMBERS:
            return f"{sql} > 0" if yes else f"({sql} IS NULL OR {sql} = 0)"
        values = ", ".join(self._dialect.literal(value) for value in looks.flag_values(column) or ("true",))
        return f"LOWER({sql}) IN ({values})" if yes else f"({sql} IS NULL OR LOWER({sql}) NOT IN ({values}))"


class Queries:
    """The queries of a new program.

    :param dialect: of the warehouse.
    """

    def __init__(self, proposal: Proposal, dialect: Dialect) -> None:
        self._p, self._dialect = proposal, dialect
        aliases = {proposal.lines.name: "l", proposal.orders.name: "o"} if proposal.orders else {}
        self._alone = _Columns(proposal, dialect, {})
        self._joined = _Columns(proposal, dialect, aliases)

    def datasets(self) -> dict[str, tuple[str, list[QueryField]]]:
        """Return query and fields of each dataset, by its folder."""
        found = {"interactions": (self._interactions(), self._interaction_fields())}
        if item_fields := self._item_fields():
            found["items"] = (self._items(item_fields), [self._item_id(), *item_fields])
        p = self._p
        if p.customers and p.customer_id and p.features:
            user_fields = self._user_fields(p.customer_id)
            found["users"] = (self._users(p.customers, p.customer_id, user_fields), user_fields)
        return found

    def times(self) -> str:
        """Return a query that counts the rows with a time and finds the newest one (``TIMES``)."""
        time = self._joined.epoch(self._p.time, self._p.form)
        counts = f"COUNT(*) AS row_count, COUNT({time}) AS readable, MAX({time}) AS newest"
        return f"SELECT {counts} {self._from_lines()}"

    def _table(self, table: Table) -> str:
        return f"{_quoted(table.schema, self._dialect)}.{_quoted(table.name, self._dialect)}"

    def _event_type(self) -> str:
        if self._p.event:
            return self._joined.sql(self._p.event)
        value = self._p.value.column if self._p.value else ""
        rated = looks.matches(value, {"rating", "stars", "score", "bewertung", "note"})
        return "'rating'" if rated else "'interaction'"

    def _interaction_fields(self) -> list[QueryField]:
        p = self._p
        fields = [
            QueryField("user_id", self._joined.id(p.user), nullable=False),
            QueryField("item_id", self._joined.id(p.item), nullable=False),
            QueryField("timestamp", self._joined.epoch(p.time, p.form), "long", nullable=False),
            QueryField("event_type", self._event_type(), nullable=False),
        ]
        if p.value:
            fields.append(QueryField("event_value", self._joined.sql(p.value), "float"))
        return fields

    def _from_lines(self) -> str:
        p = self._p
        if not p.orders or not p.join:
            return f"FROM {self._table(p.lines)}"
        own, key = p.join
        left, right = self._joined.sql(own), self._joined.sql(key)
        if p.column(own).kind is not p.column(key).kind:
            left, right = f"CAST({left} AS VARCHAR(256))", f"CAST({right} AS VARCHAR(256))"
        return f"FROM {self._table(p.lines)} AS l\nJOIN {self._table(p.orders)} AS o ON {right} = {left}"

    def _interactions(self) -> str:
        p = self._p
        conditions = self._joined.within(p.time, p.form)
        notes = [f"What people did, from {p.lines.name}{f' and {p.orders.name}' if p.orders else ''}."]
        notes.append(f"The time is {p.form.text}; Amazon Personalize takes seconds since 1970.")
        for ref in (p.user, p.item, *([p.event] if p.event else [])):
            if filled := self._joined.filled(ref):
                conditions += filled
                notes.append(f"Rows without {ref.column} are left out: nothing can be learnt from them.")
        if p.value and looks.matches(p.value.column, looks.QUANTITY) and (p.column(p.value).lowest or 0) < 0:
            conditions.append(f"{self._joined.sql(p.value)} > 0")
            notes.append(f"A negative {p.value.column} is a return or a correction, and is left out.")
        return _query(notes, self._interaction_fields(), self._from_lines(), conditions)

    def _item_id(self) -> QueryField:
        columns = self._alone if self._p.items else self._joined
        return QueryField("item_id", columns.id(self._p.item_key), nullable=False)

    def _item_fields(self) -> list[QueryField]:
        """Return what the model learns about the items; empty without a table of items."""
        p, fields = self._p, []
        if p.items is None:
            return []
        named = {name: p.fields[name] for name in ("category", "brand") if name in p.fields}
        fields += [QueryField(name, self._alone.sql(ref), categorical=True) for name, ref in named.items()]
        taken = {"title", "price", "image_url", "url", "category", "brand"}
        for ref in p.categories:
            name = _schema_name(ref.column, taken)
            taken.add(name)
            fields.append(QueryField(name, self._alone.sql(ref), categorical=True))
        if price := p.fields.get("price"):
            fields.append(QueryField("price", self._alone.number(price), "float"))
        if fields and p.created and p.created_form:
            epoch = self._alone.epoch(p.created, p.created_form)
            fields.append(QueryField("creation_timestamp", epoch, "long"))
        return fields

    def _items(self, fields: list[QueryField]) -> str:
        p = self._p
        notes = ["What the model learns about the items. A full export wants all of them."]
        conditions = self._alone.filled(p.item_key)
        if p.created and p.created_form:
            start, end = self._alone.within(p.created, p.created_form)
            notes.append(f"An hourly one wants those that came in that hour, by {p.created.column}.")
            null = f"{self._alone.sql(p.created)} IS NULL OR "
            conditions.append(f"{{% if full %}}({null}{end}){{% else %}}{start} AND {end}{{% endif %}}")
        else:
            notes.append(
                "No column says when an item came, so new ones reach the model with the next FULL training."
            )
            conditions.append("1 = {{ 1 if full else 0 }}")
        return self._of_items(notes, fields, conditions)

    def _of_items(self, notes: list[str], fields: Sequence[QueryField], conditions: list[str]) -> str:
        """Return a query of one row for each item."""
        own, items = self._item_id(), self._p.items
        source = f"FROM {self._table(items)}" if items else self._from_lines()
        if items and self._p.column(self._p.item_key).is_unique:
            return _query(notes, [own, *fields], source, conditions)
        notes.append("An item has several rows here: the largest value of each column is taken.")
        largest = [QueryField(each.name, f"MAX({each.sql})") for each in fields]
        return _query(notes, [own, *largest], source, conditions, group=own.sql)

    def _user_fields(self, key: Ref) -> list[QueryField]:
        fields = [QueryField("user_id", self._alone.id(key), nullable=False)]
        for ref in self._p.features:
            name = _schema_name(ref.column, {field.name for field in fields})
            fields.append(QueryField(name, self._alone.sql(ref), categorical=True))
        return fields

    def _users(self, customers: Table, key: Ref, fields: list[QueryField]) -> str:
        notes = [
            "What the model learns about people. Leave out what it should not know.",
            "A full export wants everybody; an hourly one nobody, as no column says who changed.",
        ]
        conditions = [*self._alone.filled(key), "1 = {{ 1 if full else 0 }}"]
        return _query(notes, fields, f"FROM {self._table(customers)}", conditions)

    def audience(self) -> str:
        """Return the query of the people that may be mailed."""
        p = self._p
        if p.customers is None or p.customer_id is None or not (p.email or p.consent):
            notes = [
                "Who may be mailed: everybody who did something. Correct this if not all of them agreed."
            ]
            own = QueryField("user_id", self._joined.id(p.user))
            people = [own, QueryField("external_id", own.sql)]
            return _query(notes, people, self._from_lines(), self._joined.filled(p.user), distinct=True)
        notes = [f"Who may be mailed, from {p.customers.name}. Braze knows people by external_id."]
        own = QueryField("user_id", self._alone.id(p.customer_id))
        external = self._alone.id(p.external_id) if p.external_id else own.sql
        conditions = self._alone.filled(p.customer_id)
        conditions += self._alone.filled(p.external_id) if p.external_id else []
        if p.email:
            conditions += self._alone.filled(p.email)
        if p.consent:
            conditions.append(self._alone.flag(p.consent, yes=not looks.is_opt_out(p.column(p.consent))))
            notes.append(f"Only those who agreed, by {p.consent.column}.")
        people = [own, QueryField("external_id", external)]
        repeated = not p.column(p.customer_id).is_unique
        return _query(notes, people, f"FROM {self._table(p.customers)}", conditions, distinct=repeated)

    def catalog(self) -> str:
        """Return the query of the items that may be mailed."""
        p, columns = self._p, self._alone if self._p.items else self._joined
        fields = [
            QueryField(name, columns.number(ref) if name == "price" else columns.sql(ref))
            for name, ref in p.fields.items()
        ]
        notes = [
            "What may stand in an e-mail, with the fields that it shows. An item that is not here is never mailed."
        ]
        conditions = columns.filled(p.item_key)
        if (title := p.fields.get("title")) and (filled := columns.filled(title)):
            conditions += filled
            notes.append("Items without a title are left out.")
        if p.in_stock:
            conditions.append(self._alone.flag(p.in_stock, yes=True))
            notes.append(f"Items that cannot be had are left out, by {p.in_stock.column}.")
        return self._of_items(notes, fields, conditions)


def _schema_name(column: str, taken: set[str]) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", column.casefold()).strip("_") or "field"
    name = f"f_{name}" if name[0].isdigit() else name
    while name.upper() in _SCHEMA_NAMES or name in taken:
        name += "_2"
    return name


def _query(
    notes: Sequence[str],
    fields: Sequence[QueryField],
    source: str,
    conditions: Sequence[str],
    *,
    distinct: bool = False,
    group: str | None = None,
) -> str:
    comment = "\n".join(f"-- {note}" for note in notes)
    columns = ",\n".join(
        f"    {each.sql}" + (f" AS {each.name}" if each.sql != each.name else "") for each in fields
    )
    where = "\nWHERE " + "\n  AND ".join(conditions) if conditions else ""
    grouped = f"\nGROUP BY {group}" if group else ""
    return f"{comment}\nSELECT{' DISTINCT' if distinct else ''}\n{columns}\n{source}{where}{grouped}\n"
