"""Run DuckDB and Arrow in bounded memory on the local disk."""

from __future__ import annotations

import errno
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa

from recsync.errors import RetriableError
from recsync.storage import machine

if TYPE_CHECKING:
    import duckdb

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def local_disk(folder: Path) -> Generator[None]:
    """Turn a full local disk into an error that names the folder.

    :raises RetriableError: when writing below ``folder`` failed because there is no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise RetriableError(
            f"The local disk has no room at {folder} ({error}). Free it, or let TMPDIR point to a larger one."
        ) from None


def quoted_path(path: Path) -> str:
    """Write a path as a SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


@contextmanager
def work_folder() -> Generator[Path]:
    """Create a temporary folder for the block."""
    with TemporaryDirectory(prefix="recsync-lists-") as name, local_disk(Path(name)):
        yield Path(name)


@contextmanager
def modest_allocator() -> Generator[None]:
    """Let Arrow allocate from the system during the block: its own allocators do not return freed memory."""
    _leave_pandas_out()
    before, system = pa.default_memory_pool(), pa.system_memory_pool()
    pa.set_memory_pool(system)
    try:
        yield
    finally:
        pa.set_memory_pool(before)
        system.release_unused()


class _NoPandas(MetaPathFinder):
    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def _leave_pandas_out() -> None:
    """Keep Arrow from importing pandas, 40 MB and 0.4 s, when it makes or reads its first array.

    Arrow looks for pandas once, to recognise its types; ``to_pandas`` looks again, so it still works.
    """
    if "pandas" not in sys.modules:
        finder = _NoPandas()
        sys.meta_path.insert(0, finder)
        try:
            pa.scalar(0)
        finally:
            sys.meta_path.remove(finder)


# DuckDB spills to disk above this; enough to plan a delivery to ten million users.
MEMORY_LIMIT = "256MB"


@contextmanager
def opened(
    work: Path, *, memory_limit: str = MEMORY_LIMIT, threads: int | None = None
) -> Generator[duckdb.DuckDBPyConnection]:
    """Open a database in the work folder for the block.

    :param work: folder for spilled data, deleted by the caller.
    :param memory_limit: above it, DuckDB spills to disk; ``machine.duckdb_memory()`` gives it more on a larger worker.
    :param threads: None: as many as the process may use; DuckDB itself would count the processors of the host.
    :raises RetriableError: when the folder's disk is full.
    """
    # Imported here to keep it, 17 MB, out of the memory of exports.
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "threads": threads or machine.cpus(),
        "temp_directory": str(work / "spill"),
        # Keeping the order of rows would hold whole results in memory; queries that need an order say ORDER BY.
        "preserve_insertion_order": False,
        # Never download an extension.
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(str(work / "work.duckdb"), config=config)
    try:
        # A long query would write its progress bar to the task's log.
        connection.execute("SET enable_progress_bar = false")
        yield connection
    except duckdb.IOException as error:
        raise RetriableError(f"The worker's disk failed below {work}: {error}") from None
    except duckdb.OutOfMemoryException as error:
        # Its further lines advise settings that no one can reach here.
        said = str(error).partition("\n")[0]
        raise RetriableError(
            f"DuckDB needs more memory than its {memory_limit}, or more room at {work}: {said}. Use a larger worker, "
            f"or set {machine.TASK_MEMORY_MB}; for the room, let TMPDIR point to a larger disk."
        ) from None
    finally:
        connection.close()
        (work / "work.duckdb").unlink(missing_ok=True)
