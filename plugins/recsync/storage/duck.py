"""Open DuckDB for one piece of work: bounded memory, spilling into the work folder."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from recsync.errors import RetriableError

# What DuckDB may hold; it spills what is more. Ten million people need no more than this to be planned.
MEMORY_LIMIT = "256MB"


@contextmanager
def opened(work: Path, *, memory_limit: str = MEMORY_LIMIT) -> Generator[duckdb.DuckDBPyConnection]:
    """Open a database in the work folder, and close it at the end.

    :param work: folder for spilled data; the caller deletes it.
    :raises RetriableError: when the folder's disk is full.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "temp_directory": str(work / "spill"),
        # Keeping the order of rows would hold whole results in memory; where order matters it is asked for.
        "preserve_insertion_order": False,
        # Nothing is fetched from anywhere while data are worked on.
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(str(work / "work.duckdb"), config=config)
    try:
        yield connection
    except duckdb.IOException as error:
        raise RetriableError(f"The worker's disk failed below {work}: {error}") from None
    except duckdb.OutOfMemoryException as error:
        raise RetriableError(f"{work} has no room to spill to, free some: {error}") from None
    finally:
        connection.close()
        (work / "work.duckdb").unlink(missing_ok=True)
