"""What is read from Braze, and how often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from braze_liquid.template import ConnectedAnswer, ConnectedRequest
from recsync.errors import FatalError
from recsync.preview.braze_data import BrazeSources, bad_images, read_profiles
from recsync.push.braze_hook import BrazeHook


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
