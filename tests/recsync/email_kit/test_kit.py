"""The e-mail kit: true to the program file, valid in Braze, and robust against what an item lacks."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from babel.numbers import format_currency

from braze_liquid.template import MAX_BLOCK_BYTES, Template, TemplateSources
from recsync.email_kit.kit import FILES, MoneyFormat, block_name, kit_files, kit_folder, template_and_blocks
from recsync.preview.findings import find
from recsync.program.braze import SOURCES
from recsync.program.files import program_files, read_program
from recsync.program.parse import parse_program
from stack.browser import CHROMIUM
from stack.commands.preview import take_pictures

INCLUDE = Path(__file__).resolve().parents[3] / "include"
PROGRAMS = [path.stem for path in program_files(INCLUDE)]
FIELDS = {
    "name": "string", "brand": "string", "price": "number", "former_price": "number", "url": "string",
    "image": "string",
}  # fmt: skip
MSO = re.compile(r"<!--\[if mso\]>(.*?)<!\[endif\]-->", re.DOTALL)


def program(payload: str = "ids", email: dict[str, Any] | None = None, fields: dict[str, str] | None = None):
    braze: dict[str, Any] = {"attribute": "recs", "payload": payload}
    fields = fields or FIELDS
    braze |= (
        {"catalog": {"name": "items", "fields": fields}} if payload == "ids" else {"item_fields": [*fields]}
    )
    document = {
        "braze": braze,
        "recommendations": {"length": 8, "min_length": 1},
        "email": email or {"currency": "USD"},
    }
    return parse_program("shop", document, None)


def item(number: int, **changed: Any) -> dict[str, Any]:
    made = {
        "id": f"i-{number}", "name": f"Item {number}", "brand": "Ours", "price": 2.5, "former_price": None,
        "url": f"https://shop.example/{number}", "image": f"https://shop.example/{number}.png", **changed,
    }  # fmt: skip
    return {key: value for key, value in made.items() if value is not None}


def render(made, items: list[dict[str, Any]], *, gone: int = 0) -> Any:
    files = kit_files(made)
    template = Template(files["email.html"], {block_name(made): files["cards.liquid"]})
    assert template.problems == ()
    ids = [f"gone-{n}" for n in range(gone)] + [each["id"] for each in items]
    value: list[Any] = ids if made.braze.payload == "ids" else items
    sources = TemplateSources({"items": {each["id"]: each for each in items}})
    rendered = template.render({"first_name": "Ada", "custom_attributes": {"recs": value}}, sources)
    assert rendered.problems == ()
    return rendered


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_kit_of_every_program_is_the_one_of_its_file(name):
    made = read_program(INCLUDE / "programs" / f"{name}.yaml", INCLUDE)
    for file, text in kit_files(made).items():
        assert (INCLUDE / kit_folder(made) / file).read_text("utf-8") == text, f"make kit PROGRAM={name}"


@pytest.mark.parametrize("payload", ["ids", "objects"])
def test_a_mail_shows_each_product_whole(payload):
    items = [item(n, name=f"A & B <{n}>", former_price=3.0 if n == 1 else None) for n in range(6)]
    text = render(program(payload), items).text
    assert re.findall(r'alt="([^"]*)"', text) == [f"A &amp; B &lt;{n}&gt;" for n in range(4)]
    assert re.findall(r"[^>]*\$[^<]*", text) == ["$2.50", "$3.00", "$2.50", "$2.50", "$2.50"]
    links = [html.unescape(link) for link in re.findall(r'href="(https://shop[^"]*)"', text)]
    assert links[::2] == links[1::2]
    assert links[0] == (
        "https://shop.example/0?utm_source=braze&utm_medium=email&utm_campaign=shop&utm_content=1-i-0"
    )


@pytest.mark.parametrize("payload", ["ids", "objects"])
@pytest.mark.parametrize(
    ("changed", "absent"),
    [
        ({"price": None}, r"\$"),
        ({"price": 0}, r"\$"),
        ({"url": None}, r'href="(?!https://braze)'),
        ({"url": ""}, r'href="(?!https://braze)'),
        ({"image": None}, "<img"),
        ({"brand": ""}, "recs-soft[^>]*></p>"),
        ({"former_price": 1.0}, "line-through"),
        ({"former_price": 2.5}, "line-through"),
    ],
)
def test_a_part_that_a_product_lacks_is_left_out(payload, changed, absent):
    made = program(payload)
    text = render(made, [item(n, **changed) for n in range(4)]).text
    assert not re.search(absent, text)
    assert text.count("Item") >= 4
    fields = ("stop", "warn")
    assert [each for each in find(text, [], None, {}) if each.level in fields] == []


def test_a_price_of_0_is_the_word_that_the_program_chose():
    text = render(
        program(email={"currency": "USD", "free": "Free"}), [item(0, price=0), item(1, price=None)]
    ).text
    assert text.count(">Free<") == 1
    assert "$" not in text


def test_without_a_currency_no_price_is_shown():
    assert "2.5" not in render(program(email={"items": 2}), [item(0)]).text


def test_prices_that_are_texts_are_shown_as_they_are():
    fields = {**FIELDS, "price": "string", "former_price": "string"}
    made = [
        item(0, price="2,50 €", former_price="3,00 €"),
        item(1, price="2,50 €", former_price="2,50 €"),
        item(2, price=""),
    ]
    text = render(program(fields=fields, email={"items": 3}), made).text
    assert re.findall(r"\d,\d\d €", text) == ["3,00 €", "2,50 €", "2,50 €"]


def test_products_that_are_gone_or_have_a_name_again_make_room():
    items = [item(0), item(1, name="Item 0"), item(2), item(3), item(4), item(5)]
    text = render(program(), items, gone=2).text
    assert re.findall(r'alt="([^"]*)"', text) == ["Item 0", "Item 2", "Item 3", "Item 4"]


def test_nobody_gets_an_empty_mail():
    made = program()
    files = kit_files(made)
    template = Template(files["email.html"], {block_name(made): files["cards.liquid"]})
    for attributes in ({}, {"recs": []}, {"recs": None}):
        rendered = template.render({"custom_attributes": attributes}, TemplateSources({"items": {}}))
        assert rendered.aborted == "recs: no recommendations"
    rendered = template.render({"custom_attributes": {"recs": ["a"]}}, TemplateSources({"items": {}}))
    assert rendered.aborted == "recs: too few products in the catalog"


@pytest.mark.parametrize(("hours", "aborted"), [(1, None), (-1, "recs: recommendations are too old")])
def test_a_list_that_is_too_old_is_shown_in_no_channel(hours, aborted):
    document = {
        "recommendations": {"max_age_days": 14, "min_length": 1},
        "braze": {
            "attribute": "recs",
            "catalog": {"name": "items", "fields": FIELDS},
            "status_catalog": "status",
        },
    }
    files, now = kit_files(parse_program("shop", document, None)), datetime(2026, 11, 30, 12, tzinfo=UTC)
    until = {"id": "shop", "fresh_until": int((now + timedelta(hours=hours)).timestamp())}
    sources = TemplateSources({"items": {"i-1": item(1)}, "status": {"shop": until}})
    channels = re.findall(
        r"^```liquid\n(.*?)^```$", files["content-card-and-push.md"], re.MULTILINE | re.DOTALL
    )
    for text in (files["cards.liquid"], *channels[1:]):
        rendered = Template(text).render({"custom_attributes": {"recs": ["i-1"]}}, sources, now=now)
        assert (rendered.aborted, rendered.problems) == (aborted, ())


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_outlook_sees_rows_and_cells_that_close(count):
    text = MSO.sub(r"\1", render(program(), [item(n) for n in range(count)]).text)
    assert "<!--" not in text
    open_tags: list[str] = []
    for closing, tag in re.findall(
        r"<(/?)(table|tr|td|div|a|span|p|i|h1|body|html|head|style|title)\b", text
    ):
        if closing:
            assert open_tags.pop() == tag
        else:
            # A row holds cells, and a cell no cell.
            assert (tag == "td") == (bool(open_tags) and open_tags[-1] == "tr"), open_tags
            open_tags.append(tag)
    assert open_tags == []


def test_no_liquid_stands_in_a_comment_and_the_block_fits_into_braze():
    for payload in ("ids", "objects"):
        files = kit_files(program(payload))
        for name in FILES[:2]:
            assert not [c for c in re.findall(r"<!--.*?-->", files[name], re.DOTALL) if "{" in c]
        assert len(files["cards.liquid"].encode()) < MAX_BLOCK_BYTES


@pytest.mark.parametrize("payload", ["ids", "objects"])
def test_content_card_and_push_show_the_first_product_that_is_there(payload):
    made, items = program(payload), [item(0), item(1)]
    page = kit_files(made)["content-card-and-push.md"]
    fields = dict(re.findall(r"^## ([^\n]+)\n\n```liquid\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    value: list[Any] = ["gone", "i-0", "i-1"] if payload == "ids" else items
    sources = TemplateSources({"items": {each["id"]: each for each in items}})
    shown = []
    for text in fields.values():
        template = Template(text)
        assert template.problems == ()
        shown.append(template.render({"custom_attributes": {"recs": value}}, sources).text.strip())
        aborted = template.render({"custom_attributes": {}}, sources).aborted
        assert aborted == (None if text.strip() == "Picked for you" else "recs: no recommendations")
    assert shown == [
        "Picked for you",
        "Item 0 · $2.50",
        "https://shop.example/0.png",
        "https://shop.example/0?utm_source=braze&utm_medium=email&utm_campaign=shop&utm_content=card-i-0",
    ]


def test_every_attribute_that_can_be_written_is_described():
    document = {
        "braze": {
            "attribute": "recs",
            "catalog": {"name": "items", "fields": FIELDS},
            "attributes": [{"name": f"recs_{name}", "from": name} for name in SOURCES],
        },
        "experiment": {
            "name": "autumn",
            "arms": {
                "best": {"share": 0.875, "gets": "champion"},
                "out": {"share": 0.1, "gets": "nothing"},
                "more": {"share": 0.025, "gets": "nothing"},
            },
        },
    }
    text = kit_files(parse_program("shop", document, None))["attributes.md"]
    for name in ("recs", *(f"recs_{name}" for name in SOURCES)):
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert all(cell.strip() for cell in row.strip("|").split("|"))
    assert "1 when the list changed" in text
    assert "12.5 % are held out by the experiment `autumn`" in text
    del document["experiment"], document["braze"]["attributes"]
    assert "held out" not in kit_files(parse_program("shop", document, None))["attributes.md"]


def test_a_template_of_its_own_uses_the_blocks_beside_it(tmp_path):
    (tmp_path / "mails").mkdir()
    (tmp_path / "mails/a.html").write_text("{{content_blocks.${head}}}{{content_blocks.${recs_cards}}}")
    (tmp_path / "mails/head.liquid").write_text("head")
    made = program(email={"template": "mails/a.html"})
    text, blocks = template_and_blocks(made, tmp_path)
    assert text.startswith("{{content_blocks")
    assert blocks == {"head": "head", "recs_cards": kit_files(made)["cards.liquid"]}


PICTURE = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='40' height='30'/%3E"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_mail_fits_every_screen_and_is_readable_in_both_modes(tmp_path):
    items = [
        item(0, image=PICTURE, former_price=3.0),
        item(
            1,
            image=PICTURE,
            name="Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen " * 2,
            price=12345.67,
        ),
        item(2, image=None, brand=None),
        item(3, image=PICTURE, price=None, url=None),
    ]
    (tmp_path / "mail.html").write_text(render(program(), items).text)
    (tmp_path / "mails.json").write_text('["mail.html"]')
    assert [faults for faults in take_pictures(tmp_path).values() if faults] == []


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
