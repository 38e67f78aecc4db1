"""Prices as a locale writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from babel.numbers import format_currency

from braze_liquid.template import Template, TemplateSources
from recsync.email_kit.liquid import MoneyFormat

PRICES = (0, 0.05, 0.5, 1, 2.3, 9.99, 17.8, 19.999, 99.995, 1.005, 12345.6, 1234567.89, "3.5", "12")


def written(money: MoneyFormat, price: object) -> str:
    source = money.liquid("custom_attribute.${price}", "p") + "[{{ p_text }}]"  # ruff: ignore[missing-f-string-syntax]
    template = Template(source)
    assert template.problems == ()
    return template.render({"custom_attributes": {"price": price}}, TemplateSources()).text[1:-1]


@pytest.mark.parametrize(
    ("currency", "locale"),
    [("USD", "en_US"), ("EUR", "de_DE"), ("EUR", "fr_FR"), ("GBP", "en_GB"), ("JPY", "ja_JP"), ("CHF", "de_CH"),
     ("SEK", "sv_SE"), ("KWD", "en_US"), ("USD", "de_DE")],
)  # fmt: skip
def test_liquid_writes_what_the_unicode_tables_say(currency, locale):
    money = MoneyFormat.of(currency, locale)
    for price in PRICES:
        exact = Decimal(str(price)).quantize(Decimal(1).scaleb(-money.places), "ROUND_HALF_UP")
        assert written(money, price) == money.text(price) == format_currency(exact, currency, locale=locale)


@pytest.mark.parametrize("missing", [None, "", [], "no number"])
def test_a_missing_price_has_the_amount_0(missing):
    template = Template(
        MoneyFormat.of("USD", "en_US").liquid("custom_attribute.${price}", "p") + "{{ p_amount }}"
    )
    rendered = template.render({"custom_attributes": {"price": missing}}, TemplateSources())
    assert (rendered.text, rendered.problems) == ("0", ())
