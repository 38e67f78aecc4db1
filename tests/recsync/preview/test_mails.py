"""Mails rendered from what Braze has."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from mail_shop import ITEMS

from braze_liquid.template import ConnectedAnswer, ConnectedRequest
from recsync.errors import FatalError
from recsync.preview.mails import BrazeSources, bad_images, read_profiles
from recsync.push.braze_hook import BrazeHook

# The acceptance asks for 1,000; each rendering takes some milliseconds.
PEOPLE = 1_000 if os.environ.get("RECSYNC_LONG_TESTS") else 40
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


def test_objects_are_rendered_from_the_attribute(shop):
    shop.write_program(payload="objects", item_fields=list(ITEMS["p-1"]), catalog=None)
    lists = shop.kit.lists(5)
    shop.deliver(lists)
    (mail,) = shop.preview(f"{shop.kit.name}-000003").mails
    shown = cards(mail.html)
    assert [card.pop("url") for card in shown]
    assert shown == expected(list(mail.in_braze[:4]))
    assert mail.findings == ()


def test_each_kind_of_person_has_a_mail_or_a_reason(shop):
    name = shop.kit.name
    lists = {**shop.kit.lists(3), f"{name}-000090": []}
    shop.deliver(lists)
    people = [f"{name}-000001", f"{name}-000090", "stranger"]
    sent, without, stranger = shop.preview(*people).mails
    assert sent.html
    assert (without.html, without.chosen.reason) == ("", "nothing fit to mail")
    assert without.aborted in {"recs: no recommendations", "Braze has no profile of this person"}
    assert (stranger.html, stranger.aborted) == ("", "Braze has no profile of this person")


def test_what_braze_has_counts_and_not_what_was_published(shop):
    shop.deliver(shop.kit.lists(2))
    person = f"{shop.kit.name}-000000"
    before = shop.preview(person).mails[0]
    # Published, and not yet pushed.
    shop.kit.publish("2", shop.kit.lists(2, shift=7), items=ITEMS)
    after = shop.preview(person)
    assert after.run == "2"
    assert after.mails[0].html == before.html


def test_a_product_that_braze_lost_makes_room(shop):
    shop.deliver(shop.kit.lists(1))
    person = f"{shop.kit.name}-000000"
    url = f"{shop.kit.servers.braze}/catalogs/{shop.kit.name}-items/items"
    key = {"Authorization": f"Bearer {shop.kit.servers.key}"}
    requests.delete(url, json={"items": [{"id": "p-1"}]}, headers=key, timeout=30).raise_for_status()
    shop.kit.servers.control("POST", "flush")
    names = [card["name"] for card in cards(shop.preview(person).mails[0].html)]
    assert names == [ITEMS[f"p-{n}"]["name"] for n in (0, 2, 3, 4)]


def test_a_template_of_its_own_and_its_faults_are_told(shop):
    shop.write_program(email={"currency": "USD", "template": "mails/own.html"})
    (shop.kit.include / "mails").mkdir()
    (shop.kit.include / "mails/own.html").write_text(
        "<p>{{ 'x' | nothing }}</p>\n{% catalog_items toys 1 %}<img src=''>{{content_blocks.${recs_cards}}}"
    )
    shop.deliver(shop.kit.lists(1))
    found = shop.preview(f"{shop.kit.name}-000000")
    assert [str(problem) for problem in found.problems] == [
        "line 1: Braze's documentation has no filter nothing"
    ]
    texts = [finding.text for finding in found.mails[0].findings]
    assert texts == [
        "line 2: there is no catalog toys in Braze",
        "a picture has no address",
        "a picture has no alt text",
    ]


@pytest.mark.parametrize("identifier", ["user_alias", "email"])
def test_people_are_named_as_the_program_names_them(shop, identifier):
    label = {"alias_label": "shop"} if identifier == "user_alias" else {}
    shop.write_program(identifier=identifier, **label)
    people = [f"p{n}-{shop.kit.name}@mail.example" for n in range(2)]
    known = [
        {"user_alias": {"alias_name": person, "alias_label": "shop"}}
        if label
        else {"external_id": f"x{person}", "email": person}
        for person in people
    ]
    shop.kit.servers.control("POST", "profiles", json=known)
    shop.deliver({person: list(ITEMS)[:5] for person in people})
    mails = shop.preview(*people).mails
    assert [len(cards(mail.html)) for mail in mails] == [4, 4]


def test_a_list_that_is_too_old_shows_nothing(shop):
    shop.write_program(status_catalog=f"{shop.kit.name}-status")
    path = shop.kit.include / "programs" / f"{shop.kit.name}.yaml"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"recommendations": {"length": 5, "max_age_days": 14}}))
    # Freshness refuses to push what is older than allowed, so the lists are of this moment.
    shop.kit.publish("1", shop.kit.lists(1), items=ITEMS)
    manifest = shop.kit.context.keys.recommendations_manifest("1")
    bucket = shop.kit.context.bucket
    now = datetime.now(UTC)
    bucket.put_json(manifest, {**bucket.get_json(manifest), "created_at": now.isoformat()})
    shop.kit.push("1")
    shop.kit.servers.control("POST", "flush")
    person = f"{shop.kit.name}-000000"
    assert shop.preview(person).mails[0].html
    assert (
        shop.preview(person, now=now + timedelta(days=15)).mails[0].aborted
        == "recs: recommendations are too old"
    )


def test_more_people_than_a_preview_shows_are_refused(shop):
    with pytest.raises(FatalError, match="1,001 people are named; a preview shows at most 1,000"):
        shop.preview(*map(str, range(1_001)))


async def _read(sources: BrazeSources, sizes: dict[str, int], seconds: float = 600) -> None:
    async with BrazeHook().client() as client:
        await sources.read_wanted(client, sizes, time.monotonic() + seconds)


def test_few_items_are_read_one_by_one_and_many_by_page(shop):
    shop.deliver(shop.kit.lists(60))
    catalog = f"{shop.kit.name}-items"
    sources = BrazeSources()
    assert sources.catalog_items(catalog, ["p-1", "gone"]) == []
    asyncio.run(_read(sources, {catalog: 5_000}))
    assert sources.items[catalog].keys() == {"p-1", "gone"}
    assert [found["name"] for found in sources.catalog_items(catalog, ["gone", "p-1"])] == [
        "Product 1 & more"
    ]
    sources.catalog_items(catalog, ["p-2", "p-3"])
    asyncio.run(_read(sources, {catalog: 60}))
    assert len(sources.items[catalog]) == 61
    assert not sources.wanted


def test_a_catalog_that_is_not_there_is_known_as_such(shop):
    sources = BrazeSources()
    sources.catalog_items("nowhere", ["a"])
    asyncio.run(_read(sources, {}))
    assert sources.catalog_items("nowhere", ["a"]) is None


def test_reads_that_would_take_too_long_are_refused(shop):
    sources = BrazeSources()
    sources.catalog_items("large", [str(n) for n in range(300)])
    with pytest.raises(FatalError, match="300 items of the Braze catalog large"):
        asyncio.run(_read(sources, {"large": 1_000_000}, seconds=60))


def test_profiles_hold_only_what_the_template_names(shop):
    shop.deliver(shop.kit.lists(3))
    people = [*shop.kit.lists(3), "stranger"]

    async def read(template: str):
        async with BrazeHook().client() as client:
            return await read_profiles(client, people, shop.kit.context.program.braze.known_by, template)

    found = asyncio.run(read("{{${first_name}}}"))
    assert found.keys() == set(people[:3])
    assert {field for profile in found.values() for field in profile} <= {
        "external_id",
        "custom_attributes",
        "first_name",
    }


@pytest.fixture
def web() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = 404 if "gone" in self.path else 302 if "moved" in self.path else 200
            body = b"{}"
            self.send_response(status)
            self.send_header("Content-Type", "image/png" if "png" in self.path else "application/json")
            self.send_header("Location", "/a")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_connected_content_is_asked_once_and_follows_no_redirect(shop, web):
    sources = BrazeSources()
    for path in ("a", "moved", "gone"):
        sources.fetch(ConnectedRequest("GET", f"{web}/{path}", {}))
    sources.fetch(ConnectedRequest("GET", "http://127.0.0.1:9/", {}))
    asyncio.run(_read(sources, {}))
    answers = [
        sources.fetch(ConnectedRequest("GET", f"{web}/{path}", {})).status for path in ("a", "moved", "gone")
    ]
    assert answers == [200, 302, 404]
    assert sources.fetch(ConnectedRequest("GET", "http://127.0.0.1:9/", {})) == ConnectedAnswer(0)
    assert not sources.wanted_answers


def test_pictures_that_cannot_be_shown_are_found(web):
    urls = [f"{web}/a.png", f"{web}/gone.png", f"{web}/page", "http://127.0.0.1:9/x.png"]
    assert bad_images(urls) == {
        f"{web}/gone.png": "HTTP 404",
        f"{web}/page": "not an image but application/json",
        "http://127.0.0.1:9/x.png": "does not load: ClientConnectorError",
    }
