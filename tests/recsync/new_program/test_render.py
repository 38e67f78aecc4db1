from __future__ import annotations

from dataclasses import replace

import yaml
from proposals import CLICKS, ITEMS, WITH_ITEMS, column, proposal, table, written

from recsync.email_kit.kit import kit_files
from recsync.program.parse import parse_program
from recsync.warehouse.column_types import Kind


def test_the_fields_of_the_items_are_sent_to_a_catalog() -> None:
    braze = yaml.safe_load(written(WITH_ITEMS)["programs/shop.yaml"])["braze"]
    assert braze["catalog"] == {
        "name": "shop_items", "fields": {"title": "string", "category": "string", "price": "number"},
    }  # fmt: skip


def test_the_email_has_prices_once_their_currency_is_said() -> None:
    text = written(WITH_ITEMS)["programs/shop.yaml"]
    assert "email" not in yaml.safe_load(text)
    said = yaml.safe_load(
        text.replace("\n# email:\n#  ", "\nemail:\n ").replace("\n#   locale", "\n  locale")
    )
    assert said["email"] == {"currency": "EUR", "locale": "en_US"}
    assert "€{{ price_units }}" in kit_files(parse_program("shop", said, None))["cards.liquid"]


def test_ids_that_no_catalog_takes_are_sent_as_objects() -> None:
    slashed = replace(ITEMS.columns["id"], sample=("a/1", "a/2"))
    found = written(replace(WITH_ITEMS, items=table("articles", slashed, *list(ITEMS.columns.values())[1:])))
    braze = yaml.safe_load(found["programs/shop.yaml"])["braze"]
    assert (braze["payload"], braze["item_fields"]) == ("objects", ["title", "category", "price"])
    assert "catalog" not in braze


def test_the_fallback_looks_back_to_a_month_before_the_newest_interaction() -> None:
    def days(age: float | None) -> int:
        document = yaml.safe_load(written(proposal(CLICKS), age_days=age)["programs/shop.yaml"])
        return int(document["recommendations"]["fallback_days"])

    assert [days(age) for age in (0.2, 400, 9_000, -3)] == [31, 430, 3650, 30]


def test_a_small_catalogue_makes_short_lists() -> None:
    few = table("clicks", column("reader"), column("article", distinct=6), column("at", Kind.MOMENT))
    wanted = yaml.safe_load(written(proposal(few))["programs/shop.yaml"])["recommendations"]
    assert (wanted["length"], wanted["min_length"]) == (3, 3)
