from __future__ import annotations

from pathlib import Path

import pytest

from recsync.errors import RetriableError
from recsync.storage.bucket import Bucket
from recsync.storage.duck import local_disk


def test_a_full_disk_is_named(bucket: Bucket) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(RetriableError, match="no room at /somewhere"), local_disk(Path("/somewhere")):
        full.write_bytes(b"x")
