"""Build Braze request bodies: canonical JSON, catalog items, batches within the size limits.

https://www.braze.com/docs/api/endpoints/user_data/post_user_track/
https://www.braze.com/docs/api/endpoints/catalogs/catalog_items/asynchronous/put_update_catalog_items/
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Braze refuses bodies over 4 MB with 413; half a megabyte is reserved for headers and escapes.
MAX_BODY_BYTES = 3_500_000
# Braze drops a nested value over 100 KB although it answers with success.
MAX_VALUE_BYTES = 100_000
# Braze: at most 50 items in one catalogue call; ids of these characters; 5,000 characters per value.
MAX_CATALOG_ITEMS = 50
CATALOG_ID = re.compile(r"^[A-Za-z0-9_-]{1,250}$")
MAX_CATALOG_VALUE_CHARACTERS = 5_000
# An array holds at most 100 texts; an object at most 50 levels, and no "." or "$" in its keys.
MAX_CATALOG_ARRAY_ELEMENTS = 100
MAX_CATALOG_LEVELS = 50
CATALOG_KEY_FORBIDDEN = re.compile(r"[.$]")
# Braze: strings over 255 characters inside attributes are dropped after a clean 201.
MAX_STRING_CHARACTERS = 255

Json = dict[str, Any]

# ``json.dumps`` makes a new encoder for each call with other options than its own, which takes longer than an item.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def dumps(value: object) -> bytes:
    """Serialise in one way only, so that a retry and a fingerprint see the same bytes."""
    return _ENCODER.encode(value).encode()


def fingerprint(value: object) -> str:
    """Give 16 hex digits (64 bits) that change when the value does."""
    return hashlib.blake2b(dumps(value), digest_size=8).hexdigest()


def catalog_item(item_id: str, item: Json, fields: Mapping[str, str]) -> Json:
    """Build one catalogue item with every field of the catalogue; a PUT replaces the whole item."""
    return {"id": item_id, **{field: _catalog_value(item.get(field), kind) for field, kind in fields.items()}}


def _catalog_value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "string":
        return str(value)[:MAX_CATALOG_VALUE_CHARACTERS]
    return value


def joined(objects: Sequence[bytes]) -> bytes:
    """Join rendered objects by commas; a sequence that has its ``joined`` form is not taken apart."""
    whole = getattr(objects, "joined", None)
    return b",".join(objects) if whole is None else whole


def batches(objects: Sequence[Json], *, max_objects: int) -> Iterator[list[Json]]:
    """Cut objects into calls of at most ``max_objects`` and ``MAX_BODY_BYTES``, keeping their order."""
    batch: list[Json] = []
    size = 0
    for item in objects:
        item_bytes = len(dumps(item)) + 1
        if batch and (len(batch) == max_objects or size + item_bytes > MAX_BODY_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item_bytes
    if batch:
        yield batch
