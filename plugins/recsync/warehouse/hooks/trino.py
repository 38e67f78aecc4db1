"""Read Trino through its provider's hook: the client's pages become batches of texts.

https://trino.io/docs/current/develop/client-protocol.html
"""

from __future__ import annotations

from recsync.errors import RecsyncError
from recsync.warehouse.dialects import TRINO
from recsync.warehouse.hooks.dbapi import DbApiWarehouse

# Retry a query if a table was there before and is missing now: it is being rebuilt.
_GONE = frozenset({"TABLE_NOT_FOUND", "COLUMN_NOT_FOUND", "SCHEMA_NOT_FOUND"})


class TrinoWarehouse(DbApiWarehouse):
    """Read a connection of type ``trino``. Every column is cast to text by the query."""

    dialect = TRINO
    permissions = "SELECT on what it reads"

    def _engine(self) -> None:
        """Use the driver itself: it streams, and closing its cursor cancels the query."""
        return

    def _explained(self, error: Exception, name: str) -> RecsyncError | None:
        if (kind := getattr(error, "error_type", None)) is not None:
            gone = getattr(error, "error_name", None) in _GONE and self.was_described(name)
            text = f"{getattr(error, 'error_name', kind)}: {getattr(error, 'message', '')}"
            return self.refused(name, text) if kind == "USER_ERROR" and not gone else self.failed(name, text)
        if type(error).__module__.startswith(("trino.exceptions", "requests.")):
            wrong = type(error).__name__ == "TrinoAuthError"
            return (
                self.refused(name, error, remedy="Correct the connection.")
                if wrong
                else self.failed(name, error)
            )
        return super()._explained(error, name)
