"""Describe the sample's products as an online shop does: name, brand, aisle and picture.

The data have none of these, but types and categories as a till prints them, and a number for each manufacturer. The
tables beside this module name the products sold most; the others get a tidied receipt text.
"""

from __future__ import annotations

import csv
import zlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from warehouse_local.product_names import product_line, shown_size

STORE_BRAND = "Corner Market"
AISLES = {
    "produce": "Fruit & Vegetables",
    "dairy-eggs": "Dairy & Eggs",
    "bakery": "Bakery",
    "meat": "Meat & Poultry",
    "seafood": "Fish & Seafood",
    "deli": "Deli",
    "frozen": "Frozen",
    "pantry": "Pantry",
    "snacks": "Snacks & Sweets",
    "drinks": "Drinks",
    "household": "Household",
    "beauty": "Health & Beauty",
    "baby": "Baby",
    "pets": "Pets",
    "home": "Home & Garden",
}
_NOT_ONLINE = (
    "-"  # in the tables: tobacco, alcohol, fuel, coupons, and products that do not belong in an e-mail
)
VARIANTS = 6  # of each picture, so that two products of a kind differ; the first is the store brand's
_FIRST = (
    *("Alder", "Ashby", "Barlow", "Birch", "Bramble", "Briar", "Calder", "Cedar", "Clover"),
    *("Copper", "Dale", "Ember", "Fable", "Fern", "Finch", "Glen", "Harrow", "Hazel"),
    *("Heath", "Holly", "Juniper", "Kestrel", "Larch", "Linden", "Maple", "Marlow", "Meadow"),
    *("Merrin", "Moss", "Nettle", "Oak", "Orchard", "Pepper", "Pine", "Plover", "Quill"),
    *("Raven", "Rowan", "Rye", "Sable", "Sorrel", "Tansy", "Thistle", "Vale", "Wick"),
    *("Willow", "Wren"),
)
_SECOND = ("brook", "field", "wick", "ford", "mere", " Lane", " House", " Hill", " & Co", " & Sons")
# In these aisles the package size is often the store's case, unless it is small.
_LOOSE = {"produce", "meat", "seafood", "deli", "home"}


@dataclass(frozen=True)
class Listing:
    """What the shop shows of a product.

    :param line: the name without size: two sizes of one product have the same line.
    :param image: path of the picture below the shop's `/images/`; None for a product not sold online.
    """

    name: str
    line: str
    brand: str
    aisle: str | None
    image: str | None


def listing(product: dict[str, str | None]) -> Listing:
    """Describe a row of products.parquet."""
    category, kind = product["product_category"] or "", product["product_type"] or ""
    named = _types().get((category, kind), {})
    place = _categories().get(category) or _departments().get(product["department"] or "") or {}
    aisle, motif = place.get("aisle", _NOT_ONLINE), named.get("motif") or place.get("motif", "")
    line = named.get("name") or product_line(kind, category)
    if not line:
        aisle, line = _NOT_ONLINE, f"Product {product['product_id']}"
    size = shown_size(product["package_size"] or "", loose=aisle in _LOOSE)
    maker = product["manufacturer_id"] if product["brand"] != "Private" else None
    name, brand = f"{line}, {size}" if size else line, brand_name(maker)
    if aisle == _NOT_ONLINE:
        return Listing(name, line, brand, None, None)
    # crc32: the same in every process, unlike hash().
    variant = 0 if maker is None else 1 + zlib.crc32(maker.encode()) % (VARIANTS - 1)
    return Listing(name, line, brand, AISLES[aisle], f"{aisle}/{motif}-{variant}.png")


def brand_name(manufacturer_id: str | None) -> str:
    """Return an invented brand, always the same of a manufacturer; the store brand of None."""
    if manufacturer_id is None:
        return STORE_BRAND
    number = zlib.crc32(manufacturer_id.encode())
    return _FIRST[number % len(_FIRST)] + _SECOND[number // len(_FIRST) % len(_SECOND)]


def _table(name: str) -> list[dict[str, str]]:
    text = resources.files("warehouse_local").joinpath(f"{name}.csv").read_text()
    return list(csv.DictReader(text.splitlines()))


@cache
def _types() -> dict[tuple[str, str], dict[str, str]]:
    return {(row["category"], row["type"]): row for row in _table("product_types")}


@cache
def _categories() -> dict[str, dict[str, str]]:
    return {row["category"]: row for row in _table("product_categories")}


@cache
def _departments() -> dict[str, dict[str, str]]:
    return {row["department"]: row for row in _table("product_departments")}
