"""What kind of object lies where, and how a person leaves it."""

from __future__ import annotations

import re
from enum import StrEnum


class Way(StrEnum):
    """How a person leaves an object."""

    ROWS = "rows of CSV"
    LINES = "lines of JSON"
    DOCUMENT = "JSON document"
    PAGE = "HTML page"
    TABLE = "rows of Parquet"
    STAND_IN = "rows of Parquet that a ledger counts: they stay, and name nobody"
    HASHES = "hashes of ids"
    WHOLE = "the whole object"


_RULES: tuple[tuple[str, Way], ...] = (
    (r"(exports|full/[^/]+)/staging/", Way.WHOLE),
    (r"(exports|full/[^/]+)/reports/.*\.html$", Way.PAGE),
    (r"(exports|full/[^/]+)/reports/", Way.DOCUMENT),
    (r"(exports|full/[^/]+)/(ids|imported)/", Way.HASHES),
    (r"(exports|full/[^/]+)/quarantine/", Way.LINES),
    (r"(exports|full|imports)/.*\.csv$", Way.ROWS),
    (r"batch/", Way.LINES),
    (r"deliveries/.*\.parquet$", Way.STAND_IN),
    (r"deliveries/.*\.jsonl$", Way.LINES),
    (r".*\.parquet$", Way.TABLE),
    (r".*\.csv$", Way.ROWS),
    (r".*\.jsonl$", Way.LINES),
    # Manifests, plans, state: what names a person there is a text or a sample.
    (r".*\.json$", Way.DOCUMENT),
)


def area_of(program: str, key: str) -> str:
    """Say to which part of the certificate an object belongs: the first folder below the program's."""
    return key.removeprefix(f"{program}/").split("/", 1)[0]


def way_of(program: str, key: str) -> Way | None:
    """Choose how a person leaves an object; None for what is the erasure's own, and for what holds no ids."""
    inner = key.removeprefix(f"{program}/")
    if inner.startswith("erasure/") or inner == "state/suppression.json":
        return None
    # Unpacked on the way, whatever they are.
    plain = inner.removesuffix(".gz")
    return next((way for pattern, way in _RULES if re.match(pattern, plain)), None)
