"""A warehouse with the small sample, and the shop on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest

from shop_local.catalog import Catalog
from shop_local.server import Server, Shop
from warehouse_local import clock
from warehouse_local.dsn import connect
from warehouse_local.sample import load_sample

sys.path.insert(0, str(Path(__file__).parents[1] / "warehouse_local"))
from small_sample import NOW, dsn, free_port, parquet_folder, server  # ruff: ignore[unused-import]


@pytest.fixture
def shop_url(dsn: str, parquet_folder: Path) -> Iterator[str]:  # ruff: ignore[redefined-while-unused] - a fixture
    """Return the address of a shop whose warehouse knows where it is."""
    shop = Server(("127.0.0.1", 0), Shop(Catalog(dsn)))
    url = f"http://127.0.0.1:{shop.server_address[1]}"
    load_sample(dsn, now=NOW, folder=parquet_folder, shop_url=url, say=lambda _: None)
    with connect(dsn) as connection:
        clock.set_to(connection, NOW + timedelta(days=14))
    thread = Thread(target=shop.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield url
    shop.shutdown()
    shop.server_close()
    with connect(dsn) as connection:
        connection.execute("DROP SCHEMA IF EXISTS journey, journey_raw CASCADE")


@pytest.fixture
def free_tcp_port() -> int:
    """Return a port on which nothing answers."""
    return free_port()
