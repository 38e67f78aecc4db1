"""Define the errors of loading and serving.

    WarehouseError
    ├── ServerError        the embedded PostgreSQL could not be prepared, started or stopped
    ├── DsnError           a connection string cannot be read or the server does not answer
    └── FileError          a file of the loaded folder cannot become a table

Every message has the problem, the object and the remedy.
"""

from __future__ import annotations


class WarehouseError(Exception):
    """The root of this package's errors."""


class ServerError(WarehouseError):
    """The embedded PostgreSQL could not be prepared, started or stopped."""


class DsnError(WarehouseError):
    """A connection string is invalid or its server does not answer."""


class FileError(WarehouseError):
    """A file cannot become a table; the message has the place in the file and the remedy."""

    def __init__(self, file_name: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file_name}: {problem}. {remedy}")
        self.file_name = file_name
        self.problem = problem
        self.remedy = remedy
