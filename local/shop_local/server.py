"""Answer GET requests: `/`, `/products/<id>`, `/images/<aisle>/<motif>-<variant>.png` and `/health`."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from string import Template
from urllib.parse import unquote, urlsplit

import psycopg

from shop_local.catalog import Catalog, Product
from shop_local.pictures import PIXELS, picture

NAME = "Corner Market"
_SHOWN = 24
_HTML = "text/html; charset=utf-8"
# Pictures never change under their name; a mail client asks once.
_KEEP = "public, max-age=86400, immutable"


@dataclass(frozen=True)
class Reply:
    """Hold one HTTP reply."""

    status: int
    body: bytes
    content_type: str = _HTML
    cache: str = "no-cache"


class Shop:
    """Make the reply to a path."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def get(self, path: str) -> Reply:
        """Return a page or a picture; 404 for anything else, 503 while the warehouse does not answer."""
        path = unquote(urlsplit(path).path)
        if path == "/health":
            return Reply(200, b'{"status": "ok", "service": "shop_local"}', "application/json")
        if path.startswith("/images/"):
            drawn = picture(path.removeprefix("/images/"))
            return (
                Reply(200, drawn, "image/png", _KEEP) if drawn else _message(404, "There is no such picture.")
            )
        try:
            return self._page(path)
        except psycopg.errors.UndefinedTable:
            return _message(404, "The warehouse holds no sample data, so the shop has no products.")
        except psycopg.OperationalError:
            return _message(503, "The warehouse does not answer. Start it, then load this page again.")

    def _page(self, path: str) -> Reply:
        if path == "/":
            cards = "".join(_card(product) for product in self._catalog.best_sellers(_SHOWN))
            return _page(NAME, f'<h1>Best sellers</h1><div class="grid">{cards}</div>')
        kind, _, product_id = path.removeprefix("/").partition("/")
        product = self._catalog.product(product_id) if kind == "products" else None
        if product is None:
            return _message(404, "The shop does not sell this product.")
        return _page(product.name, _details(product))


def _message(status: int, text: str) -> Reply:
    return Reply(status, _page(NAME, f"<h1>{escape(text)}</h1>").body)


def _page(title: str, content: str) -> Reply:
    template = Template(resources.files("shop_local").joinpath("page.html").read_text())
    return Reply(200, template.substitute(title=escape(title), shop=NAME, content=content).encode())


def _picture(product: Product, pixels: int) -> str:
    # The path alone: the page is on the same server, whatever name the visitor knows it by.
    source = escape(urlsplit(product.image).path)
    return f'<img src="{source}" alt="{escape(product.name)}" width="{pixels}" height="{pixels}">'


def _price(product: Product) -> str:
    former = (
        f' <s><span class="hidden">instead of </span>${product.former_price}</s>'
        if product.former_price
        else ""
    )
    return f'<p class="price">${product.price}{former}</p>'


def _card(product: Product) -> str:
    return (
        f'<a class="card" href="/products/{escape(product.product_id)}">{_picture(product, 300)}'
        f"<p class=brand>{escape(product.brand)}</p><h2>{escape(product.name)}</h2>{_price(product)}</a>"
    )


def _details(product: Product) -> str:
    return (
        f'<article class="product">{_picture(product, PIXELS // 2)}<div><p class="brand">{escape(product.brand)}</p>'
        f"<h1>{escape(product.name)}</h1>{_price(product)}<p>{escape(product.aisle)}</p>"
        '<p class="note">A page of the local sample shop: nothing can be bought here.</p></div></article>'
    )


class Server(ThreadingHTTPServer):
    """Serve a shop on one address."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], shop: Shop) -> None:
        super().__init__(address, _Handler)
        self.shop = shop


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        try:
            reply = self.server.shop.get(self.path)
        except Exception:  # ruff: ignore[blind-except] - a visitor must get an answer, whatever broke
            traceback.print_exc(file=sys.stderr)
            reply = _message(500, "The page could not be made; the shop's log says why.")
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", reply.cache)
        self.end_headers()
        if body:
            self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Log no requests: a preview asks for hundreds of pictures."""
