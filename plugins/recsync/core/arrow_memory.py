"""Let work in Arrow give its memory back."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pyarrow as pa


@contextmanager
def modest_allocator() -> Generator[None]:
    """Let Arrow allocate from the system meanwhile: its own allocators keep what was freed."""
    before, system = pa.default_memory_pool(), pa.system_memory_pool()
    pa.set_memory_pool(system)
    try:
        yield
    finally:
        pa.set_memory_pool(before)
        system.release_unused()
