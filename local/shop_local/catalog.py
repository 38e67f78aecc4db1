"""Read products from the sample warehouse, as the shop's pages show them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row

_COLUMNS = "product_id, product_name AS name, brand_name AS brand, aisle, price, former_price, image"
# Best sellers of the four weeks before the warehouse's clock, one product per line.
_BEST_SELLERS = f"""
SELECT {_COLUMNS} FROM journey.products
JOIN (
    SELECT DISTINCT ON (product_line) product_id, count(*) AS sales
    FROM journey.transactions JOIN journey.products USING (product_id)
    WHERE transaction_timestamp > journey.now() - interval '28 days' AND sold_online
    GROUP BY product_id, product_line ORDER BY product_line, sales DESC, product_id
) AS recent USING (product_id)
ORDER BY sales DESC, product_id LIMIT %(limit)s
"""  # ruff: ignore[hardcoded-sql-expression] - a constant of this module
_PRODUCT = f"SELECT {_COLUMNS} FROM journey.products WHERE sold_online AND product_id = %(id)s"  # ruff: ignore[hardcoded-sql-expression] - a constant of this module
_TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class Product:
    """A product that the shop sells; `image` is an address."""

    product_id: str
    name: str
    brand: str
    aisle: str
    price: Decimal
    former_price: Decimal | None
    image: str


class Catalog:
    """The products of one warehouse; a connection for each question, so that a restart of it goes unnoticed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def product(self, product_id: str) -> Product | None:
        """Return one product; None when the shop has none with this id."""
        return next(iter(self._ask(_PRODUCT, {"id": product_id})), None)

    def best_sellers(self, limit: int) -> list[Product]:
        """Return the products that were bought most lately."""
        return self._ask(_BEST_SELLERS, {"limit": limit})

    def _ask(self, query: str, values: dict[str, Any]) -> list[Product]:
        with psycopg.connect(self._dsn, connect_timeout=_TIMEOUT_SECONDS) as connection:
            return connection.cursor(row_factory=class_row(Product)).execute(query, values).fetchall()
