"""The page of a profile shows the e-mails as they would be sent now, with and without Braze's Liquid on the path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
MAIL = """<html><head><title>x</title></head><body>Hi {{ ${first_name} | default: 'you' | escape }}
{{content_blocks.${recs_shop_cards}}}</body></html>"""
CARDS = """{%- assign recs = custom_attribute.${recs_shop} -%}
{%- if recs == blank -%}{%- abort_message('no list') -%}{%- endif -%}
{%- for rec in recs -%}{%- catalog_items goods {{ rec }} -%}<p>{{ items[0].name }}</p>{%- endfor -%}"""


@pytest.fixture
def emails(tmp_path: Path) -> Path:
    """Return a folder with one e-mail and its Content Block."""
    folder = tmp_path / "emails"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop/email.html").write_text(MAIL)
    (folder / "shop/cards.liquid").write_text(CARDS)
    (folder / "notes").mkdir()
    return folder


@pytest.fixture
def with_emails(start: Callable[..., Any], emails: Path) -> Callable[..., Any]:
    """Return a function that starts a server with the e-mails, a catalog, and people with and without a list."""

    def run(path: str) -> Any:
        server = start("--emails", str(emails), "--apply-delay-seconds", "600", path=path)
        fields = [{"name": "id", "type": "string"}, {"name": "name", "type": "string"}]
        server.post("/catalogs", {"catalogs": [{"name": "goods", "fields": fields}]})
        items = [{"id": str(number), "name": f"Item {number}"} for number in range(3)]
        server.call("PUT", "/catalogs/goods/items", {"items": items})
        server.applied(
            {"external_id": "u/1", "first_name": "<Ann>", "recs_shop": ["2", "0"]},
            {"external_id": "u2", "first_name": "Bob"},
        )
        return server

    return run


def test_an_email_is_rendered_from_profile_and_catalog(with_emails: Callable[..., Any]) -> None:
    server = with_emails(str(PLUGINS))
    page = server.get("/profiles/u%2F1")
    assert '<iframe class="email" title="E-mail shop" src="/ui/emails/shop/u%2F1">' in page.text
    assert "frame-src 'self'" in page.headers["content-security-policy"]
    mail = server.get("/ui/emails/shop/u%2F1")
    assert "Hi &lt;Ann&gt;" in mail.text
    assert mail.text.index("<p>Item 2</p>") < mail.text.index("<p>Item 0</p>")
    assert '<base target="_blank">' in mail.text
    assert "script-src" not in mail.headers["content-security-policy"]
    assert "default-src 'none'" in mail.headers["content-security-policy"]
    assert "sandbox" in mail.headers["content-security-policy"]

    without = server.get("/profiles/u2").text
    assert "Nothing would be sent: no list" in without
    assert "<iframe" not in without
    for path in ("/ui/emails/none/u2", "/ui/emails/notes/u2", "/ui/emails/shop/nobody", "/ui/emails/shop"):
        assert server.get(path).status_code == 404


def test_without_braze_liquid_the_page_says_what_to_do(with_emails: Callable[..., Any]) -> None:
    page = with_emails("").get("/profiles/u2")
    assert page.status_code == 200
    assert "braze_liquid is not on the path: add plugins/ to PYTHONPATH" in page.text


def test_without_a_folder_no_email_is_shown(braze: Any, user: str) -> None:
    braze.applied({"external_id": user, "a": 1})
    assert "E-mail" not in braze.get(f"/profiles/{user}").text
