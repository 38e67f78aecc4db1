"""What does not fit into memory goes to the local disk, which can be full."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from recsync.errors import RetriableError

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def local_disk(folder: Path) -> Generator[None]:
    """Turn a full local disk into an error that says which folder needs room.

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
