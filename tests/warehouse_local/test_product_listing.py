from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from warehouse_local import product_listing
from warehouse_local.product_listing import AISLES, STORE_BRAND, VARIANTS, Listing, brand_name, listing
from warehouse_local.sample import package_folder

APPLE = {
    "product_id": "1",
    "manufacturer_id": "69",
    "department": "GROCERY",
    "brand": "National",
    "product_category": "APPLES",
    "product_type": "APPLES GALA (BULK&BAG)",
    "package_size": "3 LB",
}


def test_a_product_gets_name_brand_aisle_and_picture() -> None:
    found = listing(APPLE)
    assert (found.name, found.line, found.aisle) == ("Gala Apples, 3 lb", "Gala Apples", "Fruit & Vegetables")
    assert found.brand == brand_name("69") != STORE_BRAND
    assert found.image is not None
    assert found.image.startswith("produce/apple-")
    store = listing(APPLE | {"brand": "Private"})
    assert (store.brand, store.image) == (STORE_BRAND, "produce/apple-0.png")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"product_category": "CIGARETTES", "product_type": "CIGARETTES"}, "Cigarettes"),
        ({"department": "FUEL", "product_category": None, "product_type": "GASOLINE"}, "Gasoline"),
        ({"product_category": None, "product_type": None}, "Product 1"),
    ],
)
def test_what_is_not_for_an_email_has_no_picture(changes: dict[str, str | None], line: str) -> None:
    found = listing(APPLE | changes | {"package_size": None})
    assert found == Listing(line, line, brand_name("69"), None, None)


def test_the_tables_name_aisles_and_categories_that_exist() -> None:
    folder = Path(product_listing.__file__).parent
    tables = {
        name: list(csv.DictReader((folder / f"product_{name}.csv").open()))
        for name in ("types", "categories", "departments")
    }
    assert {row["aisle"] for name in ("categories", "departments") for row in tables[name]} <= {*AISLES, "-"}
    for name, keys in (
        ("types", ("category", "type")),
        ("categories", ("category",)),
        ("departments", ("department",)),
    ):
        rows = [tuple(row[key] for key in keys) for row in tables[name]]
        assert len(set(rows)) == len(rows)
    products = pq.read_table(
        package_folder() / "products.parquet", columns=["product_category", "product_type"]
    ).to_pylist()
    known = {(row["product_category"], row["product_type"]) for row in products}
    assert {(row["category"], row["type"]) for row in tables["types"]} - known == set()
    assert {row["category"] for row in tables["categories"]} - {category for category, _ in known} == set()


def test_brands_are_many_and_stay_the_same() -> None:
    brands = {brand_name(str(number)) for number in range(1000)}
    assert len(brands) > 300
    assert brand_name("69") == brand_name("69")
    assert brand_name(None) == STORE_BRAND
    assert VARIANTS > 1
