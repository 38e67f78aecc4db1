"""The shop's pages over HTTP, as the links of an e-mail lead to them."""

from __future__ import annotations

import re

import pytest
import requests

from shop_local.catalog import Catalog
from shop_local.server import Shop
from warehouse_local.dsn import connect


def get(url: str, path: str) -> requests.Response:
    return requests.get(f"{url}{path}", timeout=10)


def test_the_links_of_products_lead_to_their_pages_and_pictures(shop_url: str, dsn: str) -> None:
    with connect(dsn) as connection:
        rows = connection.execute(
            "SELECT url, image, product_name FROM journey.products WHERE sold_online"
        ).fetchall()
    assert len(rows) == 2
    for url, image, name in rows:
        page, picture = requests.get(str(url), timeout=10), requests.get(str(image), timeout=10)
        assert (page.status_code, picture.status_code) == (200, 200)
        assert f"<h1>{name}</h1>" in page.text
        assert picture.headers["Content-Type"] == "image/png"
        assert "immutable" in picture.headers["Cache-Control"]


def test_a_reduced_product_shows_both_prices(shop_url: str) -> None:
    reduced, other = get(shop_url, "/products/10?utm_source=braze").text, get(shop_url, "/products/11").text
    assert "$2.50" in reduced
    assert re.search(r"<s>.*\$3\.50</s>", reduced)
    assert "Corner Market" in reduced
    assert "<s>" not in other


def test_the_front_page_shows_what_sells(shop_url: str) -> None:
    page = get(shop_url, "/").text
    assert page.index('href="/products/10"') < page.index('href="/products/11"')
    assert "/products/12" not in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/products/12", 404),
        ("/products/99", 404),
        ("/products/", 404),
        ("/nothing", 404),
        ("/images/pantry/basket-9.png", 404),
        ("/images/pantry/nothing-0.png", 404),
        ("/images/../server.py", 404),
        ("/health", 200),
    ],
)
def test_other_paths(shop_url: str, path: str, status: int) -> None:
    assert get(shop_url, path).status_code == status
    assert requests.head(f"{shop_url}{path}", timeout=10).status_code == status


def test_without_sample_or_warehouse_the_shop_says_so(dsn: str, free_tcp_port: int) -> None:
    empty = Shop(Catalog(dsn)).get("/")
    assert (empty.status, b"holds no sample data" in empty.body) == (404, True)
    gone = Shop(Catalog(f"postgresql://postgres@127.0.0.1:{free_tcp_port}/warehouse"))
    assert gone.get("/products/10").status == 503
    assert gone.get("/images/pantry/basket-0.png").status == 200
    assert gone.get("/health").status == 200


def test_names_are_escaped(shop_url: str, dsn: str) -> None:
    with connect(dsn) as connection:
        connection.execute(
            "UPDATE journey_raw.sold_products SET product_name = '<b>&' WHERE product_id = '10'"
        )
    page = get(shop_url, "/products/10").text
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page
