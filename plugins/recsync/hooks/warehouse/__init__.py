"""Read a warehouse, whichever it is: each in the way in which it gives many rows best."""

from recsync.hooks.warehouse.base import Warehouse
from recsync.hooks.warehouse.factory import warehouse
from recsync.hooks.warehouse.unload import UnloadingWarehouse

__all__ = ["UnloadingWarehouse", "Warehouse", "warehouse"]
