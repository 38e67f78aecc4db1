"""An embedded PostgreSQL, and six purchases to load into it."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from warehouse_local.server import EmbeddedServer, running

NOW = datetime(2030, 5, 15, 12, tzinfo=UTC)
LAST = datetime(2018, 1, 1, 4)
FIRST = datetime(2017, 12, 1, 9)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder: Path = tmp_path_factory.mktemp("postgres")
    # A password with every character that has to be escaped somewhere.
    embedded = EmbeddedServer(folder / "data", free_port(), f"p'w/:@%{secrets.token_hex(4)}")
    with running(embedded, log=folder / "log"):
        yield embedded


@pytest.fixture
def dsn(server: EmbeddedServer) -> str:
    return server.dsn()


@pytest.fixture(scope="session")
def parquet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write six purchases by three households in the layout of the package."""
    folder = tmp_path_factory.mktemp("journey")
    times = [
        FIRST,
        *(LAST - timedelta(days=days) for days in (25, 22, 14, 1)),
        LAST,
    ]
    _write(
        folder / "transactions.parquet",
        household_id=[1, 1, 2, 2, 3, 3],
        store_id=[9] * 6,
        basket_id=[31198570044] * 6,
        product_id=[10, 10, 10, 11, 12, 10],
        quantity=[1, 2, 1, 3, 0, 1],
        sales_value=[1.0, 4.0, 3.0, 6.0, 0.0, 9.0],
        retail_disc=[1.0, 2.0, 1.0, 0.0, 0.0, 0.0],
        coupon_disc=[0.0] * 6,
        coupon_match_disc=[0.0] * 6,
        week=[1] * 6,
        transaction_timestamp=pa.array(times, pa.timestamp("ns")),
    )
    _write(
        folder / "products.parquet",
        product_id=[10, 11, 13],
        manufacturer_id=[1, 1, 1],
        department=["GROCERY"] * 3,
        brand=["Private", "National", "National"],
        product_category=["FRUIT", "FRUIT", "NEVER SOLD"],
        product_type=["APPLE SAUCE", None, "NEVER SOLD"],
        package_size=["50 OZ", None, None],
    )
    _write(
        folder / "demographics.parquet",
        household_id=[1],
        age=["65+"],
        **{
            name: pa.array(["x"])
            for name in (
                *("income", "home_ownership", "marital_status"),
                *("household_size", "household_comp", "kids_count"),
            )
        },
    )
    _write(folder / "campaigns.parquet", campaign_id=[1, 1, 2], household_id=[1, 2, 1])
    _write(
        folder / "campaign_descriptions.parquet",
        campaign_id=[1, 2],
        campaign_type=["Type A", "Type B"],
        start_date=pa.array([FIRST, LAST], pa.timestamp("ns")),
        end_date=pa.array([LAST, LAST], pa.timestamp("ns")),
    )
    _write(
        folder / "coupon_redemptions.parquet",
        household_id=[1, 1],
        coupon_upc=[51380041013] * 2,
        campaign_id=[1, 1],
        redemption_date=pa.array([FIRST, LAST], pa.timestamp("ns")),
    )
    return folder


def _write(path: Path, **columns: Any) -> None:
    pq.write_table(pa.table(columns), path)
