"""Short cuts, so that hundreds of tasks take minutes; none of them is about what is tested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.loaders import JSONFileLoader

from recsync.push import read_back

# Braze needs up to half a minute to apply a call, the sandbox 0.2 s, or 2 s where a fault delays it.
_WAITS_SECONDS = (0.3, 0.7, 2.5)
_parsed: dict[str, Any] = {}


def hasten() -> Callable[[], None]:
    """Read people back sooner, and parse botocore's models once and not once a session; return what undoes it."""
    parse, waits = JSONFileLoader.load_file, read_back.WAITS_SECONDS

    def parse_once(self: JSONFileLoader, file_path: str) -> Any:
        if file_path not in _parsed:
            _parsed[file_path] = parse(self, file_path)
        return _parsed[file_path]

    def undo() -> None:
        JSONFileLoader.load_file, read_back.WAITS_SECONDS = parse, waits

    JSONFileLoader.load_file, read_back.WAITS_SECONDS = parse_once, _WAITS_SECONDS
    return undo
