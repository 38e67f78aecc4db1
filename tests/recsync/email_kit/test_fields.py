"""Which field is what."""

from __future__ import annotations

import json

import pytest

from recsync.email_kit.fields import item_fields
from recsync.errors import FatalError
from recsync.program.parse import parse_program


def program(fields: dict[str, str], **email: object):
    braze = {"attribute": "recs", "catalog": {"name": "items", "fields": fields}}
    return parse_program("shop", {"braze": braze, "email": email}, None)


def texts(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "string")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (
            {
                **texts("name", "brand", "department", "url", "image"),
                "price": "number",
                "former_price": "number",
            },
            {
                "name": "name",
                "brand": "brand",
                "price": "price",
                "former_price": "former_price",
                "url": "url",
                "image": "image",
            },
        ),
        (
            {
                **texts("title", "image_url", "product_url", "brand_name"),
                "list_price": "number",
                "unit_price": "number",
            },
            {
                "name": "title",
                "brand": "brand_name",
                "price": "unit_price",
                "former_price": "list_price",
                "url": "product_url",
                "image": "image_url",
            },
        ),
        (
            {**texts("bezeichnung", "marke", "bild", "link"), "preis": "number", "alter_preis": "number"},
            {
                "name": "bezeichnung",
                "brand": "marke",
                "price": "preis",
                "former_price": "alter_preis",
                "url": "link",
                "image": "bild",
            },
        ),
        (texts("titre", "sku"), {"name": "titre"}),
    ],
)
def test_fields_are_recognised_by_their_names(fields, found):
    made = item_fields(program(fields))
    assert {part: column for part, column in vars(made).items() if column} == found


def test_what_the_program_file_says_comes_first():
    fields = {**texts("name", "label", "x1"), "price": "number"}
    made = item_fields(program(fields, columns={"name": "label", "image": "x1"}))
    assert (made.name, made.image, made.price) == ("label", "x1", "price")


def test_prices_that_are_texts_are_known():
    assert item_fields(program(texts("name", "price"))).text_prices
    assert not item_fields(program({**texts("name"), "price": "number"})).text_prices


def test_without_a_name_there_is_no_kit():
    with pytest.raises(
        FatalError, match=r"shop.yaml: none of the fields that Braze gets \(sku\).*email.columns.name"
    ):
        item_fields(program(texts("sku")))
    assert json.dumps(vars(item_fields(program(texts("name")))))
