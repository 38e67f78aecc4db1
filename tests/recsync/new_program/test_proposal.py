from __future__ import annotations

from typing import Any

from recsync.new_program.choices import Answers, ask_nobody
from recsync.new_program.columns import Column, Link, Ref, Table
from recsync.new_program.proposal import Proposal, propose
from recsync.warehouse.column_types import Kind


def ids(name: str, distinct: int, filled: int = 1_000, prefix: str = "x") -> Column:
    sample = tuple(f"{prefix}{n % distinct}" for n in range(20))
    return Column(name, Kind.TEXT, "text", filled, distinct, sample=sample)


def at(name: str = "created_at") -> Column:
    return Column(name, Kind.MOMENT, "timestamptz", 1_000, 900, "2026-01-01", "2026-02-01")


def table(name: str, *columns: Column, rows: int = 1_000) -> Table:
    return Table("public", name, rows, {column.name: column for column in columns})


def proposed(*tables: Table, links: tuple[Link, ...] = (), ask: Any = ask_nobody, **answers: Any) -> Proposal:
    return propose({each.name: each for each in tables}, links, Answers(answers, "answers.yaml"), ask)


ORDERS = table("orders", ids("customer_id", 90), ids("product_id", 50), at())


def test_names_that_say_nothing_are_decided_by_where_the_values_lead() -> None:
    log = table("log", ids("a", 90), ids("b", 50, prefix="y"), at("t"))
    people = table("people", ids("k", 95, 95), ids("email", 95, 95), rows=95)
    things = table("products", ids("k", 60, 60, "y"), ids("name", 60, 60), rows=60)
    links = (
        Link(Ref("log", "a"), Ref("people", "k"), 1.0, 0.9),
        Link(Ref("log", "b"), Ref("products", "k"), 1.0, 0.8),
    )
    found = proposed(log, people, things, links=links)
    assert (found.user, found.item) == (Ref("log", "a"), Ref("log", "b"))
    assert (found.items, found.customers) == (things, people)


def test_a_list_of_people_is_no_list_of_what_they_did() -> None:
    people = table("customers", ids("customer_id", 1_000), ids("favourite_product_id", 40), at())
    assert proposed(people, ORDERS).lines.name == "orders"


def test_more_event_types_than_the_service_takes_are_no_event_type() -> None:
    def events(distinct: int) -> Table:
        return table("events", ids("user_id", 90), ids("item_id", 50), ids("event_type", distinct), at())

    assert proposed(events(4)).event == Ref("events", "event_type")
    assert proposed(events(40)).event is None


def test_a_missing_consent_is_noted() -> None:
    people = table("customers", ids("customer_id", 95, 95), ids("email", 95, 95), rows=95)
    address = Column("email", Kind.TEXT, "text", 95, 95, sample=("a@b.test",))
    people = Table("public", "customers", 95, {**people.columns, "email": address})
    link = Link(Ref("orders", "customer_id"), Ref("customers", "customer_id"), 1.0, 0.9)
    found = proposed(ORDERS, people, links=(link,))
    assert found.email == Ref("customers", "email")
    assert "no column that says who agreed" in found.notes[0]


def test_fields_of_the_event_are_no_fields_of_its_item() -> None:
    export = table(
        "orders",
        ids("name", 900),
        ids("customer_id", 90),
        ids("lineitem_sku", 50),
        ids("lineitem_name", 50),
        at(),
    )
    assert proposed(export).fields == {"title": Ref("orders", "lineitem_name")}


def test_an_address_names_a_person_where_nothing_else_does() -> None:
    address = Column("email", Kind.TEXT, "text", 1_000, 90, sample=("a@b.test",))
    assert proposed(table("orders", address, ids("product_id", 50), at())).user == Ref("orders", "email")
    both = table("orders", address, ids("customer_id", 90), ids("product_id", 50), at())
    assert proposed(both).user == Ref("orders", "customer_id")
