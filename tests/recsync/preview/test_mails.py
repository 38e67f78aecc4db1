"""Mails rendered from what Braze has."""

from __future__ import annotations

import html
import json
import os
import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import requests

# The acceptance asks for 1,000; each rendering takes some milliseconds.
PEOPLE = 1_000 if os.environ.get("RECSYNC_LONG_TESTS") else 100
CARD = re.compile(
    r'<a href="(?P<url>[^"]+)" style="text-decoration:none;">\s*<img class="recs-image" src="(?P<image>[^"]+)"'
    r'[^>]* alt="(?P<alt>[^"]*)"'
    r'.*?recs-soft"[^>]*>(?P<brand>[^<]*)</p>\s*<p class="recs-text"[^>]*>(?P<name>[^<]*)</p>\s*<p[^>]*>'
    r'(?:<span class="recs-soft"[^>]*>(?P<former>[^<]*)</span> )?<span[^>]*>(?P<price>[^<]*)</span>',
    re.DOTALL,
)


def cards(text: str) -> list[dict[str, str | None]]:
    return [
        {part: found and html.unescape(found) for part, found in card.groupdict().items()}
        for card in CARD.finditer(text)
    ]


def dollars(value: float | None) -> str | None:
    return None if value is None else f"${Decimal(str(value)):,.2f}"


def expected(items: list[dict[str, Any]]) -> list[dict[str, str | None]]:
    return [
        {
            "image": item["image"],
            "alt": item["name"],
            "brand": item["brand"],
            "name": item["name"],
            "price": dollars(item["price"]),
            "former": dollars(item.get("former_price")),
        }
        for item in items
    ]


def test_mails_equal_profile_and_catalog(shop):
    lists = shop.kit.lists(PEOPLE)
    shop.deliver(lists)
    mails = shop.preview(*lists).mails
    profiles = shop.kit.in_braze()
    where = f"{shop.kit.servers.braze}/_local/items.ndjson?catalog={shop.kit.name}-items"
    items_there = requests.get(where, timeout=30).text.splitlines()
    catalog = {entry["id"]: entry for entry in map(json.loads, items_there)}
    assert len(mails) == len(profiles) == PEOPLE
    for mail in mails:
        shown = cards(mail.html)
        urls = [str(card.pop("url")) for card in shown]
        in_braze = profiles[mail.chosen.person]
        assert list(mail.in_braze) == in_braze
        items = [catalog[item_id] for item_id in in_braze[:4]]
        assert shown == expected(items)
        for position, (url, entry) in enumerate(zip(urls, items, strict=True), 1):
            parts = urlsplit(url)
            assert url.startswith(entry["url"].partition("#")[0] + "&utm_source=braze&utm_medium=email&")
            assert parts.query.endswith(f"&utm_content={position}-{entry['id']}")
            assert parts.fragment == "top"
        assert mail.findings == ()
