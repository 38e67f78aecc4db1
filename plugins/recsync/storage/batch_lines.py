"""Read the JSON lines of batch job objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from recsync.storage.csv_text import ByteStream

_READ_BYTES = 1_000_000
_KEYS = ("itemId", "itemAttributes")
_USERS = ("recommendedUsers", "usersList")


def read_lines(stream: ByteStream) -> Iterator[bytes]:
    """Read the lines of a stream without line ends and without empty lines."""
    rest = b""
    while data := stream.read(_READ_BYTES):
        *whole, rest = (rest + data).split(b"\n")
        yield from filter(None, whole)
    if rest:
        yield rest


def parse_answer(line: bytes) -> tuple[str, list[str], str] | None:
    """Parse an output line of a batch segment job into query, users and error; None for any other line."""
    try:
        document = json.loads(line)
        asked: dict[str, Any] = {**document, **document.get("input", {})}
        query = next(str(asked[key]) for key in _KEYS if key in asked)
        output = document.get("output") or {}
        users: list[Any] = next((output[key] for key in _USERS if output.get(key)), [])
    except (ValueError, TypeError, AttributeError, StopIteration):
        return None
    return query, [str(user) for user in users], str(document.get("error") or "")
