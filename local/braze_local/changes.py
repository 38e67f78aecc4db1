"""Name what has been accepted and will be applied later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["track", "items", "delete"]


@dataclass(slots=True)
class Change:
    """Hold one accepted request until it is due.

    `due_seconds` is epoch time. `payload` is JSON in which everything is valid: for ``track`` the body of
    /users/track without its rejected objects, for ``items`` an object of `catalog_id`, `method`, `items`,
    for ``delete`` an object of `kind` and `values`.
    Bytes rather than parsed objects, because a long queue of those would weigh ten times as much.
    """

    due_seconds: float
    kind: Kind
    payload: bytes
    journal_id: int | None = None
