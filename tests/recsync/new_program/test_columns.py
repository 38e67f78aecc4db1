from __future__ import annotations

import doctest

import pytest

from recsync.new_program import columns as looks
from recsync.new_program.columns import Column
from recsync.warehouse.column_types import Kind


def text(*sample: str, name: str = "c") -> Column:
    return Column(name, Kind.TEXT, "text", len(sample), len(set(sample)), min(sample), max(sample), sample)


def whole(*sample: int, name: str = "c") -> Column:
    texts = tuple(map(str, sample))
    return Column(name, Kind.INTEGER, "bigint", len(sample), len(set(sample)), texts[0], texts[-1], texts)


def test_the_examples_of_the_module_hold() -> None:
    assert doctest.testmod(looks).failed == 0


@pytest.mark.parametrize(
    ("column", "mark"),
    [
        (text("12,90 €", "1.234,50 €"), ","),
        (text("EUR 12.90", "EUR 1,234.50"), "."),
        (text("$5", "$17.99"), "."),
        (text("cheap", "dear"), None),
        (whole(5, 7), None),
    ],
)
def test_prices_are_known_with_their_decimal_mark(column: Column, mark: str | None) -> None:
    assert looks.price_mark(column) == mark


@pytest.mark.parametrize(
    ("column", "yes"),
    [
        (text("ja", "nein", "Ja"), ("ja",)),
        (text("opted_in", "unsubscribed", "subscribed"), ("opted_in", "subscribed")),
        (whole(0, 1), ("1",)),
        (Column("c", Kind.BOOLEAN, sample=("t", "f")), ("true",)),
        (text("red", "blue"), None),
        (text("yes", "perhaps"), None),
    ],
)
def test_yes_and_no_are_known_in_several_languages(column: Column, yes: tuple[str, ...] | None) -> None:
    assert looks.flag_values(column) == yes


def test_addresses_are_told_apart() -> None:
    image = text("https://cdn.test/a.jpg?w=3", "https://cdn.test/b.webp", name="x")
    page = text("https://shop.test/a", "https://shop.test/b", name="x")
    assert looks.is_image(image)
    assert looks.is_url(page)
    assert not looks.is_image(page)
    assert looks.is_image(text("https://cdn.test/a/1", name="thumbnail"))
    assert looks.is_email(text("a@b.test"))
    assert not looks.is_email(text("a at b"))


@pytest.mark.parametrize("name", ["email", "firstName", "postal_code", "birthdate", "phone"])
def test_what_identifies_a_person_is_personal(name: str) -> None:
    assert looks.is_personal(text("a", "b", name=name))
    assert not looks.is_personal(text("a", "b", name="country"))


def test_a_column_that_says_who_left_is_read_the_other_way_round() -> None:
    assert looks.is_opt_out(Column("opt_out", Kind.BOOLEAN))
    assert looks.is_opt_out(Column("unsubscribed_at", Kind.BOOLEAN))
    assert not looks.is_opt_out(Column("opt_in", Kind.BOOLEAN))
