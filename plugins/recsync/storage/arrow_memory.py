"""Let work in Arrow take no more memory than it needs, and give it back."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

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


def forgo_pandas() -> None:
    """Keep Arrow from importing pandas, which it does at its first array only to know pandas' types: 35 MB.

    Nothing of recsync is a pandas object. Whatever imports pandas by itself in the same process gets it as ever.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        # Arrow looks once in a process, and remembers what it found.
        pa.scalar(0)
    finally:
        sys.meta_path.remove(finder)


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("Arrow does without pandas here", name=fullname)
