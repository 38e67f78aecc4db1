"""A folder on the local disk for one piece of work."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from recsync.storage.local_disk import local_disk

_FOLDER_PREFIX = "recsync-lists-"


@contextmanager
def work_folder() -> Generator[Path]:
    """Give a folder that is deleted at the end."""
    with TemporaryDirectory(prefix=_FOLDER_PREFIX) as name, local_disk(Path(name)):
        yield Path(name)
