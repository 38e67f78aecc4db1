"""What is missing or ugly in a mail."""

from __future__ import annotations

import pytest

from recsync.email_kit.fields import ItemFields
from recsync.preview.findings import contrast, find, image_urls

FIELDS = ItemFields("name", brand="brand", price="price", url="url", image="image")
HARD = "text is hard to read"
GOOD = (
    "<html><head><style>.t { color: #222222 } "
    "@media (prefers-color-scheme: dark) { .p { background-color: #111111 !important }"
    " .t { color: #eeeeee !important } }</style></head><body>"
    '<table class="p" bgcolor="#ffffff"><tr><td class="t">Bread <b>$2.50</b></td>'
    '<td><a href="https://shop.example/1" style="color:#222;background-color:#fff">Look</a>'
    '<img src="https://shop.example/1.png" alt="Bread"></td></tr></table></body></html>'
)


def texts(body: str, items=(), fields=None, bad=None) -> list[str]:
    return [f"{each.level}: {each.text}" for each in find(body, items, fields, bad or {})]


def test_a_good_mail_has_no_findings():
    bread = {
        "name": "Bread",
        "brand": "B",
        "price": 2.5,
        "url": "https://x.example",
        "image": "https://x.example/i",
    }
    assert texts(GOOD, [bread], FIELDS) == []
    assert image_urls(GOOD) == ["https://shop.example/1.png"]


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ('src="https://shop.example/1.png"', 'src=""', "stop: a picture has no address"),
        ('src="https://shop.example/1.png"', 'src="1.png"', "stop: a picture's address is no web address"),
        ('alt="Bread"', "", "warn: a picture has no alt text"),
        ('alt="Bread"', 'alt=" "', "warn: a picture has no alt text"),
        ('href="https://shop.example/1"', 'href=""', "stop: a link is empty"),
        ('href="https://shop.example/1"', 'href="?utm_source=braze"', "stop: a link is no web address"),
        ("$2.50", "2.50", "warn: a number stands alone, such as a price without a currency"),
        ("$2.50", "$", "warn: a currency stands without an amount"),
        ("$2.50", "$0.00", "warn: a price is 0"),
        ("$2.50", "0 €", "warn: a price is 0"),
        ("$2.50", "0,00 €", "warn: a price is 0"),
        ("Look", "A long na…", "warn: a text is cut off"),
        ("Look", "{{ items[0].name }}", "stop: Liquid is shown as text"),
        (
            ".t { color: #222222 }",
            ".t { color: #999999 }",
            f"warn: light mode: {HARD}, #999999 on #ffffff has a contrast of 2.8",
        ),
        (
            ".t { color: #eeeeee !important }",
            "",
            f"warn: dark mode: {HARD}, #222222 on #111111 has a contrast of 1.2",
        ),
    ],
)
def test_each_fault_is_told(right, wrong, found):
    assert right in GOOD
    assert texts(GOOD.replace(right, wrong)) == [found]


@pytest.mark.parametrize(
    "price",
    [
        "$1,234.50",
        "1.234,50 €",
        "10 €",
        "10\u202f€",
        "9 SEK",
        "1.234,50 EUR",
        "$0.50",
        "CHF 3",
        "0,50 €",
        "¥100",
        "3 for $10",
    ],
)
def test_a_price_is_not_a_fault(price):
    assert texts(GOOD.replace("$2.50", price)) == []


def test_a_picture_that_does_not_load_is_told():
    assert texts(GOOD, bad={"https://shop.example/1.png": "HTTP 404"}) == ["stop: a picture HTTP 404"]


def test_a_product_that_lacks_something_in_braze_is_told_only_when_it_is_shown():
    assert texts(GOOD, [{"name": "Bread", "price": 0}, {"name": "Milk"}], FIELDS) == [
        "note: a product has no brand in Braze",
        "note: a product's price is 0 in Braze",
        "note: a product has no url in Braze",
        "note: a product has no image in Braze",
    ]


def test_a_name_that_is_there_twice_is_told():
    twice = GOOD.replace("Look", "BREAD")
    whole = {"name": "Bread", "brand": "B", "price": 1, "url": "u", "image": "i"}
    assert texts(twice.replace("Bread <b>", "Bread<b>"), [whole], FIELDS) == [
        "warn: a product's name is there twice"
    ]


def test_text_that_is_not_seen_has_no_findings():
    assert texts('<div style="display:none;color:#fff">0 € {{ x }}</div>') == []


def test_contrast_is_that_of_the_guidelines():
    assert round(contrast((0, 0, 0), (255, 255, 255)), 2) == 21
    assert round(contrast((0x76, 0x76, 0x76), (255, 255, 255)), 2) == pytest.approx(4.54)
