"""Choose tables and columns for a new program, with a reason for each choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsync.formatting import percent
from recsync.new_program import columns as looks
from recsync.new_program import scores
from recsync.new_program.choices import CLOSE, Answers, Ask, Choices, Proposed, Question
from recsync.new_program.columns import Column, Link, Ref, Table
from recsync.new_program.time_forms import TimeForm, time_form
from recsync.warehouse.column_types import Kind


@dataclass
class Proposal:
    """What a new program reads from where.

    :param lines: table of the interactions; ``orders`` has person and time when the lines have not.
    :param fields: columns of the items by what they are: title, price, image_url, url, category, brand.
    :param categories: further columns of the items with few values.
    """

    lines: Table
    user: Ref
    item: Ref
    time: Ref
    form: TimeForm
    orders: Table | None = None
    join: tuple[Ref, Ref] | None = None
    event: Ref | None = None
    value: Ref | None = None
    items: Table | None = None
    item_id: Ref | None = None
    fields: dict[str, Ref] = field(default_factory=dict)
    categories: list[Ref] = field(default_factory=list)
    created: Ref | None = None
    created_form: TimeForm | None = None
    in_stock: Ref | None = None
    customers: Table | None = None
    customer_id: Ref | None = None
    email: Ref | None = None
    consent: Ref | None = None
    external_id: Ref | None = None
    features: list[Ref] = field(default_factory=list)
    choices: list[Proposed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    answers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def item_key(self) -> Ref:
        """The column with the items' ids: of their own table, or of the interactions."""
        return self.item_id if self.items and self.item_id else self.item

    def table(self, ref: Ref) -> Table:
        """Return the table of a column."""
        tables = (self.lines, self.orders, self.items, self.customers)
        return next(
            table for table in tables if table and table.name == ref.table and ref.column in table.columns
        )

    def column(self, ref: Ref) -> Column:
        """Return the figures of a column."""
        return self.table(ref).columns[ref.column]


def propose(tables: Mapping[str, Table], links: Sequence[Link], answers: Answers, ask: Ask) -> Proposal:
    """Choose the tables and columns of a program.

    :param tables: by the name under which answers name them.
    :param ask: asks a person for a choice that the tables leave open.
    :raises FatalError: an answer names a missing table or column, or there is no answer.
    """
    return _Chooser(tables, links, answers, ask).proposal()


class _Chooser:
    def __init__(
        self, tables: Mapping[str, Table], links: Sequence[Link], answers: Answers, ask: Ask
    ) -> None:
        self._tables, self._links, self._given, self._ask = tables, links, answers.given, ask
        self._choices = Choices(tables, answers, ask)

    def proposal(self) -> Proposal:
        lines, orders, join = self._interactions()
        choices, pool = self._choices, [name for name in (lines, orders) if name]
        user = choices.needed("user", pool, self._user_score)
        item = choices.needed("item", [lines], self._item_score, {user})
        time = choices.needed("time", pool, self._time_score(looks.TIME), first_of_several=True)
        form = choices.time_form("time", time)
        found = Proposal(self._tables[lines], user, item, time, form, answers=self._given)
        found.orders, found.join = (self._tables[orders] if orders else None), join
        taken = {user, item, time, *(join or ())}
        found.event = choices.optional("event", pool, choices.by(scores.event_score), taken)
        found.value = choices.optional("value", pool, choices.by(scores.value_score), taken)
        self._items(found, pool, lines, taken | {ref for ref in (found.event,) if ref})
        self._customers(found)
        found.choices, found.notes = choices.made, choices.notes
        return found

    # Tables.

    def _interactions(self) -> tuple[str, str | None, tuple[Ref, Ref] | None]:
        given = self._given
        scored = sorted(
            (
                (score, lines, orders, join)
                for lines in self._tables
                for orders, join in self._parents(lines)
                if (score := self._interactions_score(lines, orders)) > 0
                and given.get("interactions", lines) == lines
                and given.get("orders", orders) == orders
            ),
            key=lambda each: -each[0],
        )
        if not scored and "interactions" in given:
            lines, orders = given["interactions"], given.get("orders")
            scored = [(0.0, lines, found, join) for found, join in self._parents(lines) if found == orders]
        if not scored:
            text = "No table has a column of people, one of items and one of times. Which table says what people did?"
            # What people did is usually the longest table.
            names = sorted(self._tables, key=lambda name: -self._tables[name].rows)
            lines = names[0] if len(names) == 1 else self._ask(Question("interactions", text, names))
            scored = [(0.0, lines, None, None)]
        names = list(dict.fromkeys(lines for score, lines, *_ in scored if score > scored[0][0] - CLOSE))
        if len(names) > 1 and "interactions" not in given:
            chosen = self._ask(Question("interactions", "Which table says what people did?", names))
            scored = [each for each in scored if each[1] == chosen]
        _, lines, orders, join = scored[0]
        rows = f"{self._tables[lines].rows:,} rows"
        why = "as the answers say" if "interactions" in given else f"{rows} with person, item and time"
        if len(self._tables) == 1:
            why = f"{rows}; there is no other table"
        self._choices.add("interactions", lines, why)
        if orders and join:
            why = f"{lines} has the items; {join[0]} leads to person and time in {join[1]}"
            self._choices.add("orders", orders, why)
        return lines, orders, join

    def _parents(self, lines: str) -> list[tuple[str | None, tuple[Ref, Ref] | None]]:
        """Return the tables that rows of a table may belong to, and how they are joined."""
        found: list[tuple[str | None, tuple[Ref, Ref] | None]] = [(None, None)]
        by_table: dict[str, Link] = {}
        for link in self._links:
            if link.column.table != lines or link.share < 0.9:
                continue
            if self._given.get("order", link.column.column) != link.column.column:
                continue
            former = by_table.get(link.key.table)
            if former is None or self._link_score(link) > self._link_score(former):
                by_table[link.key.table] = link
        found += [(table, (link.column, link.key)) for table, link in by_table.items()]
        return found

    def _interactions_score(self, lines: str, orders: str | None) -> float:
        pool = [lines, *([orders] if orders else [])]
        chosen: list[tuple[float, Ref]] = []
        for tables, score in (
            (pool, self._user_score),
            ([lines], self._item_score),
            (pool, self._time_score(looks.TIME)),
        ):
            found = self._choices.candidates(tables, score, {ref for _, ref in chosen})
            if not found or found[0][0] < scores.LIKELY:
                return 0.0
            chosen.append(found[0])
        (user, user_ref), (item, _), (time, time_ref) = chosen
        # An order's table is needed only for what the lines have not.
        if orders and orders not in {user_ref.table, time_ref.table}:
            return 0.0
        size = math.log10(max(1, self._tables[lines].rows))
        return user + item + time + size - 1.5 * bool(orders)

    def _user_score(self, ref: Ref) -> float:
        return self._id_score(ref, looks.USER, scores.is_like_people)

    def _item_score(self, ref: Ref) -> float:
        return self._id_score(ref, looks.ITEM, scores.is_like_items)

    def _time_score(self, meant: frozenset[str]) -> Callable[[Ref], float]:
        return lambda ref: scores.time_score(self._column(ref), self._tables[ref.table].rows, meant)

    def _id_score(self, ref: Ref, meant: frozenset[str], like: Callable[[Table], bool]) -> float:
        column = self._column(ref)
        if not looks.is_id(column) or column.distinct < 2 or column.kind is Kind.MOMENT:
            return 0.0
        score = scores.id_score(column, meant)
        # An address names a person where nothing else does.
        if meant is looks.USER and looks.is_email(column):
            score = scores.LIKELY + 0.2
        other = looks.ITEM if meant is looks.USER else looks.USER
        alike = [
            link
            for link in self._links
            if link.column == ref and link.share >= 0.5 and like(self._tables[link.key.table])
        ]
        # Small whole numbers are keys of any table that numbers its rows; names decide about those.
        if score > 0 or column.kind is not Kind.INTEGER:
            score += 1.5 * bool(alike)
        if scores.id_score(column, other) < 3:
            score += 0.5 * any(link.coverage > 0.3 for link in alike)
        if time_form(column) and score < 3:
            score -= 2
        # One row for each person, or for each item, is a list of those, and no interactions.
        return score - 3 * column.is_unique

    def _link_score(self, link: Link) -> float:
        same = link.column.column.casefold() == link.key.column.casefold()
        named = set(looks.words(link.column.column)) & set(looks.words(link.key.table))
        return link.share + link.coverage + same + 0.5 * bool(named)

    # Items and customers.

    def _items(self, found: Proposal, pool: list[str], lines: str, taken: set[Ref]) -> None:
        choices = self._choices
        table = self._linked_table("items", found.item, scores.is_like_items, {lines, *pool[1:]})
        if table:
            found.items = self._tables[table]
            found.item_id = self._key_of("item_id", found.item, table, looks.ITEM)
            self._table_chosen("items", table, found.item, found.item_id)
            taken = {found.item_id}
        else:
            table = lines
            choices.add("items", "none", f"the items' fields are taken from {lines}")
        for name, key, score in (
            ("image_url", "image", scores.image_score),
            ("url", "url", scores.url_score),
            ("price", "price", scores.price_score),
            ("title", "title", scores.title_score),
            ("category", "category", scores.group_score(looks.CATEGORY)),
            ("brand", "brand", scores.group_score(looks.BRAND)),
        ):
            own = score if found.items else self._of_the_item(found.item, score)
            if ref := choices.optional(key, [table], choices.by(own), taken):
                found.fields[name] = ref
                taken = taken | {ref}
        order = ["title", "category", "brand", "price", "image_url", "url"]
        found.fields = {name: found.fields[name] for name in order if name in found.fields}
        if found.value in found.fields.values() and "value" not in self._given:
            found.value = None
            choices.made = [choice for choice in choices.made if choice.key != "value"]
        if found.items is None:
            return
        found.created = choices.optional("created", [table], self._time_score(looks.CREATED), taken)
        found.created_form = choices.time_form("created", found.created) if found.created else None
        found.in_stock = choices.optional("in_stock", [table], choices.by(scores.stock_score), taken)
        taken |= {ref for ref in (found.created, found.in_stock) if ref}
        further = choices.candidates([table], choices.by(scores.feature_score), taken)
        found.categories = [ref for _, ref in further][:3]

    def _of_the_item(self, item: Ref, score: Callable[[Column], float]) -> Callable[[Column], float]:
        """Leave out columns of interactions that belong to the event and not to its item: they have more values."""
        most = self._column(item).distinct * 1.5
        return lambda column: (
            score(column) if column.distinct <= most or scores.price_score(column) > 0 else 0.0
        )

    def _customers(self, found: Proposal) -> None:
        choices, taken = self._choices, {found.items.name} if found.items else set()
        table = self._linked_table("customers", found.user, scores.is_like_people, taken)
        if table is None:
            choices.add("customers", "none", f"everybody in {found.user} may be mailed")
            return
        found.customers = self._tables[table]
        found.customer_id = self._key_of("customer_id", found.user, table, looks.USER)
        self._table_chosen("customers", table, found.user, found.customer_id)
        found.email, found.consent, found.external_id = (
            choices.optional(key, [table], choices.by(score), {found.customer_id})
            for key, score in (
                ("email", scores.email_score),
                ("consent", scores.consent_score),
                ("external_id", scores.external_id_score),
            )
        )
        if not found.email and not found.consent:
            choices.notes.append(
                f"{table} has neither e-mail addresses nor consent: everybody in {found.user} is in the audience. "
                "Correct audience.sql if not all of them may be mailed."
            )
        elif not found.consent:
            choices.notes.append(
                f"{table} has no column that says who agreed to e-mails: everybody with an address is in the audience. "
                "Braze still mails only those who are subscribed there."
            )
        if self._column(found.customer_id).is_unique:
            chosen = (found.email, found.consent, found.external_id, found.customer_id)
            further = choices.candidates(
                [table], choices.by(scores.feature_score), {ref for ref in chosen if ref}
            )
            found.features = [
                ref
                for _, ref in further
                if not looks.is_personal(self._column(ref)) and self._column(ref).distinct <= 100
            ][:5]

    def _column(self, ref: Ref) -> Column:
        return self._choices.column(ref)

    def _linked_table(
        self, key: str, ref: Ref, like: Callable[[Table], bool], without: set[str]
    ) -> str | None:
        if key in self._given:
            table: str | None = self._given[key]
            return table
        scored = sorted(
            (
                (self._link_score(link) + alike, link.key.table)
                for link in self._links
                if link.column == ref
                and link.share >= 0.5
                and link.key.table not in without
                and ((alike := like(self._tables[link.key.table])) or self._link_score(link) >= 2.5)
            ),
            reverse=True,
        )
        return scored[0][1] if scored else None

    def _table_chosen(self, key: str, table: str, ref: Ref, its: Ref) -> None:
        shares = [link.share for link in self._links if (link.column, link.key) == (ref, its)]
        rows = f"{self._tables[table].rows:,} rows"
        why = f"{rows}; {percent(shares[0])} of the values of {ref} are in {its}" if shares else rows
        self._choices.add(key, table, why)

    def _key_of(self, key: str, ref: Ref, table: str, meant: frozenset[str]) -> Ref:
        if key in self._given:
            return self._choices.given(key, [table])
        found = [link for link in self._links if link.column == ref and link.key.table == table]
        if found:
            return max(found, key=self._link_score).key
        score = self._choices.by(lambda column: scores.id_score(column, meant))
        scored = self._choices.candidates([table], score)
        if scored and scored[0][0] >= 3:
            return scored[0][1]
        names = [each.column for _, each in scored] or list(self._tables[table].columns)
        return self._choices.asked(key, f"Which column of {table} has the ids of {ref}?", names, [table])
