"""Post-rules: what of a user's list may be mailed."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def mailable(item_ids: Iterable[str], catalogue: Collection[str], length: int) -> tuple[str, ...]:
    """Keep the first ``length`` different items that the catalogue holds, in their order."""
    kept: dict[str, None] = {}
    for item_id in item_ids:
        if len(kept) == length:
            break
        if item_id in catalogue:
            kept.setdefault(item_id)
    return tuple(kept)
