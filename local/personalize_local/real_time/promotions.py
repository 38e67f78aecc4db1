"""Give a share of a list to promoted items.

https://docs.aws.amazon.com/personalize/latest/dg/promoting-items.html
"""

from __future__ import annotations

import random
from dataclasses import replace

from personalize_local.engine import Answer
from personalize_local.real_time.item_list import Entry, entries_of

_REASON = "Promoted item"


def promoted_count(num_results: int, percent: int) -> int:
    """Return how many places a promotion gets: its share, rounded down, but one at least."""
    return min(num_results, max(1, num_results * percent // 100))


def mix(regular: Answer, promoted: Answer, name: str | None, num_results: int, count: int) -> list[Entry]:
    """Return the regular list with up to `count` promoted items at random places.

    :param regular: the list under the request's own filter, long enough to fill every place.
    :param promoted: the list under the promotion's filter.
    """
    extra = entries_of(replace(promoted, reasons=None))[:count]
    for entry in extra:
        entry["promotionName"] = name
        if promoted.reasons is not None:
            entry["reason"] = [_REASON]
    taken = {entry["itemId"] for entry in extra}
    kept = [entry for entry in entries_of(regular) if entry["itemId"] not in taken]
    length = min(num_results, len(kept) + len(extra))
    places = set(random.sample(range(length), len(extra)))
    rest, added = iter(kept), iter(extra)
    return [next(added if place in places else rest) for place in range(length)]
