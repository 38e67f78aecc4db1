"""Read a warehouse, whichever it is: each in the way in which it gives many rows best."""

from recsync.warehouse.hooks.base import Warehouse
from recsync.warehouse.hooks.factory import warehouse
from recsync.warehouse.hooks.unload import UnloadingWarehouse

__all__ = ["UnloadingWarehouse", "Warehouse", "warehouse"]
