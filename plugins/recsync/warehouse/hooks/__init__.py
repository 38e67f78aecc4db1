"""Read warehouses through their Airflow connections, each in its fastest way."""

from recsync.warehouse.hooks.base import Warehouse, warehouse
from recsync.warehouse.hooks.unload import UnloadingWarehouse

__all__ = ["UnloadingWarehouse", "Warehouse", "warehouse"]
