"""A small shop in the warehouse, and its program files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
from services import Services

# The ids and values that Shop.load writes; "external" ones are made in audience.sql.
ROW_CONTENT = re.compile(r"(?<![\w-])(?:c \d+|p-\d+|braze-c \d+|Product p-\d+)(?![\w-])")
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
CUSTOMERS = 60
PRODUCTS = 40
FULL_UNTIL = NOW - timedelta(hours=3)

# Six people are held out here: figures of two versions differ by chance alone.
LENIENT = "gate: {min_ratio_to_champion: null}\n"
PROGRAM = f"""
datasets:
  interactions: {{}}
  items: {{}}
{LENIENT}"""
PROGRAM += """\
recommendations: {length: 5}
personalize: {num_results: 20}
braze:
  attribute: recs
  payload: objects
  item_fields: [title, price]
"""
_AVRO = {"type": "record", "namespace": "com.amazonaws.personalize.schema", "version": "1.0"}
SCHEMAS = {
    "interactions": {
        **_AVRO,
        "name": "Interactions",
        "fields": [
            {"name": "USER_ID", "type": "string"},
            {"name": "ITEM_ID", "type": "string"},
            {"name": "TIMESTAMP", "type": "long"},
        ],
    },
    "items": {
        **_AVRO,
        "name": "Items",
        "fields": [
            {"name": "ITEM_ID", "type": "string"},
            {"name": "PRICE", "type": ["null", "float"]},
            {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]},
        ],
    },
}
SQL = {
    "interactions": """
        SELECT customer AS user_id, product AS item_id, floor(extract(epoch FROM at))::bigint AS "timestamp"
        FROM shop.orders WHERE at >= '{{ data_interval_start }}' AND at < '{{ data_interval_end }}'
    """,
    "items": """
        SELECT product AS item_id, price, floor(extract(epoch FROM added_at))::bigint AS creation_timestamp
        FROM shop.products WHERE added_at >= '{{ data_interval_start }}' AND added_at < '{{ data_interval_end }}'
    """,
    "audience": "SELECT DISTINCT customer AS user_id, 'braze-' || customer AS external_id FROM shop.orders",
    "catalogue": "SELECT product AS item_id, 'Product ' || product AS title, price FROM shop.products",
}


def write_files(include: Path, name: str, program: str, sql: dict[str, str] | None = None) -> None:
    """Write the program file of a shop, its SQL and its schemas."""
    for folder in ("programs", f"sql/{name}", f"schemas/{name}"):
        (include / folder).mkdir(parents=True, exist_ok=True)
    (include / "programs" / f"{name}.yaml").write_text(program)
    for query, text in {**SQL, **(sql or {})}.items():
        (include / "sql" / name / f"{query}.sql").write_text(text)
    for dataset, schema in SCHEMAS.items():
        (include / "schemas" / name / f"{dataset}.json").write_text(json.dumps(schema))


@dataclass(frozen=True)
class Published:
    """The lists of a run by external id, with ``item_ids``, and its catalog."""

    lists: dict[str, dict[str, Any]]
    catalog: list[dict[str, Any]]


@dataclass(frozen=True)
class Shop:
    """The shop's warehouse and its files."""

    services: Services
    include: Path
    name: str

    def load(self) -> None:
        """Fill the warehouse with everything before ``FULL_UNTIL``."""
        self.services.execute(
            "DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop;"
            "CREATE TABLE shop.orders (customer text, product text, at timestamptz);"
            "CREATE TABLE shop.products (product text, price numeric(8, 2), added_at timestamptz)"
        )
        old = FULL_UNTIL - timedelta(days=90)
        self.add_products([(f"p-{n}", n + 0.5, old) for n in range(PRODUCTS)])
        self.add_orders(
            [
                (
                    f"c {c}",
                    f"p-{(c * 3 + k * k) % PRODUCTS}",
                    FULL_UNTIL - timedelta(hours=1 + (c * 31 + k * 17) % 700),
                )
                for c in range(CUSTOMERS)
                for k in range(25)
            ]
        )

    def add_orders(self, rows: list[tuple[str, str, datetime]]) -> None:
        """Insert orders."""
        self.services.execute("INSERT INTO shop.orders VALUES (%s, %s, %s)", rows)

    def add_products(self, rows: list[tuple[str, float, datetime]]) -> None:
        """Insert products."""
        self.services.execute("INSERT INTO shop.products VALUES (%s, %s, %s)", rows)

    def write_files(self, program: str = PROGRAM, sql: dict[str, str] | None = None) -> None:
        """Write the program file, its SQL and its schemas."""
        write_files(self.include, self.name, program, sql)

    def published(self, run: str | None = None) -> Published:
        """Return what a run published; None: the newest one."""
        from recsync.context import StageContext
        from recsync.recommend.store import RecommendationsStore

        store = StageContext.of(self.name).store(RecommendationsStore)
        with TemporaryDirectory() as folder:
            lists = Path(folder) / "lists.parquet"
            catalog = store.download(run or str(store.latest_run()), lists).to_pylist()
            rows = pq.read_table(lists).to_pylist()
        for row in rows:
            row["item_ids"] = [catalog[position]["item_id"] for position in row["items"]]
        return Published({row["external_id"]: row for row in rows}, catalog)
