"""Name the ways loading and serving can fail.

    WarehouseError
    ├── ServerError        the embedded PostgreSQL could not be prepared, started or stopped
    ├── DsnError           a connection string cannot be read or the server does not answer
    └── FileError          a file of the loaded folder cannot become a table

Every message says what happened, to which object, and what to do.
"""

from __future__ import annotations


class WarehouseError(Exception):
    """Be the root of everything this package raises on purpose."""


class ServerError(WarehouseError):
    """Say that the embedded PostgreSQL could not be prepared, started or stopped."""


class DsnError(WarehouseError):
    """Say that a connection string cannot be read or that no server answers there."""


class FileError(WarehouseError):
    """Say which file cannot become a table, where in it the trouble is, and what to do."""

    def __init__(self, file_name: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file_name}: {problem}. {remedy}")
        self.file_name = file_name
        self.problem = problem
        self.remedy = remedy
