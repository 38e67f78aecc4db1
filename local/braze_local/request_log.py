"""Remember the latest requests: when, where, what came of them, how large; never bodies, queries or keys."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from braze_local.profiles import timestamp

# How many requests are remembered.
LENGTH = 1_000
_NAMES = ("method", "path", "status", "objects", "bytes")


class RequestLog:
    """Hold the latest requests to Braze's own paths, newest last."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, str, str, str, int, int]] = deque(maxlen=LENGTH)

    def add(self, method: str, path: str, outcome: str, objects: int, received_bytes: int) -> None:
        """Remember one request; `outcome` is its status or the fault's kind."""
        self._entries.append((time.time(), method, path, outcome, objects, received_bytes))

    def latest(self, limit: int = LENGTH) -> list[dict[str, Any]]:
        """Return the latest requests, newest first."""
        entries = list(self._entries)[-limit:] if limit else []
        return [
            {"time": timestamp(at), **dict(zip(_NAMES, rest, strict=True))} for at, *rest in reversed(entries)
        ]
