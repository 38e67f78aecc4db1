"""Answer GET requests: `/`, `/products/<id>`, `/images/<aisle>/<motif>-<variant>.png` and `/health`."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shop_local.catalog import Catalog
from shop_local.pictures import PIXELS, picture

NAME = "Corner Market"
_SHOWN = 24
_HTML = "text/html; charset=utf-8"
# Pictures never change under their name; a mail client asks once.
_KEEP = "public, max-age=86400, immutable"
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
)
# The path alone: the page is on the same server, whatever name the visitor knows it by.
_ENVIRONMENT.filters["path"] = lambda address: urlsplit(address).path
_TEMPLATE = _ENVIRONMENT.get_template("page.html")


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
            return _page(heading="Best sellers", products=self._catalog.best_sellers(_SHOWN))
        kind, _, product_id = path.removeprefix("/").partition("/")
        product = self._catalog.product(product_id) if kind == "products" else None
        if product is None:
            return _message(404, "The shop does not sell this product.")
        return _page(product=product)


def _message(status: int, text: str) -> Reply:
    return Reply(status, _page(heading=text).body)


def _page(**values: object) -> Reply:
    return Reply(200, _TEMPLATE.render(shop=NAME, pixels=PIXELS // 2, **values).encode())


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
