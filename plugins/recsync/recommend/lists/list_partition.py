"""The lists of one partition of people: their lines found, ruled, filled from the fallback, as a table to publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.program import Recommendations
from recsync.recommend.lists.catalogue import Catalogue
from recsync.recommend.lists.dedupe import Lines, first_lines
from recsync.recommend.lists.fallback import Personal, Popular, PopularInSegment, Tier, fill
from recsync.recommend.lists.history import History
from recsync.recommend.lists.rules import UNKNOWN, Bought, ListRules, Lists, pack, ragged
from recsync.recommend.lists.similar import similar_items

LISTS = pa.schema(
    [
        ("external_id", pa.string()),
        ("item_ids", pa.list_(pa.string())),
        ("tier", pa.string()),
        ("reason", pa.string()),
        ("priority", pa.float64()),
        ("segment", pa.string()),
        ("unanswered", pa.string()),
    ]
)
"""What is published: one row per person; ``item_ids`` is empty where nothing is fit to mail, ``reason`` says why.

``tier`` is the furthest source used: ``personal`` or a tier of the fallback; empty without a list. ``unanswered`` says
why the job has no answer for somebody whom it was asked about; empty for everybody else. Whoever has no answer and has
a list in Braze keeps it for a while, so ``item_ids`` is then only what follows.
"""
PERSONAL = "personal"
NO_LINE = "the batch output has no line for this person"
FAILED = "the batch output has an error for this person"
NOT_ASKED = "no candidate, seed or segment leads to this person"

# Places of a matrix of lists; bounds the memory whatever the lengths of the lists.
_MAX_PLACES = 2_000_000
# People filled from the fallback at a time, for the same reason.
_FILLED_PEOPLE = 10_000


@dataclass
class Partition:
    """One partition's rows (``LISTS``, texts and items as dictionaries) and how they came about."""

    lists: pa.Table
    used: NDArray[np.bool_]
    suppressed: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    matched: int = 0
    strangers: int = 0
    repeated: int = 0
    conflicts: int = 0


def build_partition(
    people: pa.Table,
    lines: pa.Table,
    purchases: pa.Table | None,
    catalogue: Catalogue,
    policy: Recommendations,
    history: History | None,
    asked: pa.Table | None,
) -> Partition:
    """Make the rows of some people.

    :param people: ``AUDIENCE``; ``lines``: ``SPOOLED``; ``purchases``: ``PURCHASES``, each of the same users.
    :param asked: whom the job was asked about, beside those who have a line; None: everybody.
    """
    named = people["user_id"].combine_chunks().dictionary_encode()
    users = named.indices.to_numpy().astype(np.int64)
    found = first_lines(lines, named.dictionary)
    past = _Past.of(purchases, named.dictionary, len(catalogue), history) if purchases and history else None
    rules, dropped = ListRules.of(policy.rules, catalogue), Counter[str]()
    lists = _personal(found, users, rules, policy.length, past.bought if past else None, dropped)
    expected = found.found | (_named(asked, named.dictionary) if asked is not None else True)
    short = np.count_nonzero(lists >= 0, axis=1) < policy.shortest
    unanswered = short & (found.failed | (expected & ~found.found))[users]
    last = np.zeros(len(lists), np.int8)
    if history and policy.fallback:
        segments = pc.index_in(people["segment"].combine_chunks(), value_set=history.segments)
        codes = segments.fill_null(-1).to_numpy().astype(np.int64)
        _fall_back(lists, last, users, codes, rules, policy, history, past)
    lists[np.count_nonzero(lists >= 0, axis=1) < policy.shortest] = -1
    lineless = np.where(expected, 1, 3)
    why = np.where(unanswered, np.where(found.found, 2, 1)[users], np.where(found.found, 4, lineless)[users])
    made = _publishable(people, lists, last, unanswered, why, policy, catalogue)
    made.asked, made.matched = (int(np.count_nonzero(each[users])) for each in (expected, found.found))
    made.dropped, made.strangers = dropped, found.strangers
    made.repeated, made.conflicts = found.repeated, found.conflicts
    return made


def _named(users: pa.Table, names: pa.Array) -> NDArray[np.bool_]:
    """Say which names are among some users."""
    values = pc.unique(users["user_id"]).cast(pa.string())
    found: NDArray[np.bool_] = pc.is_in(names, value_set=values).to_numpy(zero_copy_only=False)
    return found


@dataclass(frozen=True)
class _Past:
    """Purchases of the partition's users, who are numbered as its lines are."""

    users: NDArray[np.int64]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    bought: Bought | None

    @classmethod
    def of(cls, purchases: pa.Table, names: pa.Array, items: int, history: History) -> _Past:
        owners = pc.index_in(purchases["user_id"].combine_chunks(), value_set=names).fill_null(-1).to_numpy()
        inside = owners >= 0
        users = owners[inside].astype(np.int64)
        bought_items = purchases["item"].to_numpy()[inside]
        times = purchases["timestamp"].to_numpy()[inside]
        if history.bought_since is None:
            return cls(users, bought_items, times, None)
        late = times >= history.bought_since
        return cls(
            users, bought_items, times, Bought(np.sort(users[late] * items + bought_items[late]), items)
        )


def _personal(
    lines: Lines,
    users: NDArray[np.int64],
    rules: ListRules,
    length: int,
    bought: Bought | None,
    dropped: Counter[str],
) -> Lists:
    """Give each person's own list, ruled and packed."""
    lists = np.full((len(users), length), -1, np.int32)
    lengths = lines.lengths[users]
    for start, end in _row_blocks(lengths, 0, len(users)):
        rows, sizes = users[start:end], lengths[start:end]
        block = np.full((len(rows), int(sizes.max(initial=0))), -1, np.int32)
        block[np.arange(block.shape[1]) < sizes[:, None]] = lines.items[ragged(lines.starts[rows], sizes)]
        dropped[UNKNOWN] += int(sizes.sum()) - int(np.count_nonzero(block >= 0))
        block, broken = rules.apply(block, rows, bought)
        dropped.update(broken)
        packed, _ = pack(block, length)
        lists[start:end, : packed.shape[1]] = packed
    return lists


def _row_blocks(lengths: NDArray[np.int64], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut rows in halves until each block's matrix is small enough, however long a single row is."""
    rows = end - start
    if rows > 1 and rows * int(lengths[start:end].max()) > _MAX_PLACES:
        middle = start + rows // 2
        yield from _row_blocks(lengths, start, middle)
        yield from _row_blocks(lengths, middle, end)
    elif rows:
        yield start, end


def _fall_back(
    lists: Lists,
    last: NDArray[np.int8],
    users: NDArray[np.int64],
    segments: NDArray[np.int64],
    rules: ListRules,
    policy: Recommendations,
    history: History,
    past: _Past | None,
) -> None:
    """Fill the lists that are too short to be mailed, in place."""
    short = np.flatnonzero(np.count_nonzero(lists >= 0, axis=1) < policy.shortest)
    for start in range(0, len(short), _FILLED_PEOPLE):
        people = short[start : start + _FILLED_PEOPLE]
        tiers = [_tier(name, history, past, users[people], segments[people]) for name in policy.fallback]
        bought = past.bought if past else None
        lists[people], last[people] = fill(
            lists[people], np.arange(len(people)), users[people], tiers, rules, bought
        )


def _tier(
    name: str, history: History, past: _Past | None, users: NDArray[np.int64], segments: NDArray[np.int64]
) -> Tier:
    """Give a tier for some people, who are numbered from 0."""
    if name == "popular":
        return Popular(history.popular)
    if name == "popular_in_segment":
        return PopularInSegment(history.popular_in_segment, segments)
    if past is None or history.similar is None:
        return Personal(np.empty((len(users), 0), np.int32))
    asked, rows = np.unique(users, return_inverse=True)
    places = np.minimum(np.searchsorted(asked, past.users), len(asked) - 1)
    chosen = (asked[places] == past.users) & (past.times >= history.fallback_since)
    ranked = similar_items(
        history.similar, places[chosen], past.items[chosen], past.times[chosen], len(asked)
    )
    return Personal(ranked[rows])


def _publishable(
    people: pa.Table,
    lists: Lists,
    last: NDArray[np.int8],
    unanswered: NDArray[np.bool_],
    why: NDArray[np.int64],
    policy: Recommendations,
    catalogue: Catalogue,
) -> Partition:
    """Make the rows.

    :param why: number of the reason for which each person would have no list.
    """
    held = lists >= 0
    sizes = np.count_nonzero(held, axis=1)
    positions = lists[held]
    used = np.zeros(len(catalogue), np.bool_)
    used[positions] = True
    # Only the items of this partition go into its dictionary: a catalogue can be far larger than what is mailed.
    numbers = (np.cumsum(used) - 1).astype(np.int32)[positions]
    chosen = catalogue.item_ids.take(pa.array(np.flatnonzero(used)))
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    items = pa.ListArray.from_arrays(
        pa.array(offsets), pa.DictionaryArray.from_arrays(pa.array(numbers), chosen)
    )
    tiers = ["", PERSONAL, *policy.fallback]
    tier = np.where(sizes > 0, last + 1, 0).astype(np.int8)
    few = f"fewer than {policy.shortest} items that may be mailed"
    reasons = ["", NO_LINE, FAILED, NOT_ASKED, few]
    reason = np.where(sizes > 0, 0, why).astype(np.int8)
    missing = np.where(unanswered, why, 0).astype(np.int8)
    table = pa.table(
        {
            "external_id": people["external_id"].combine_chunks(),
            "item_ids": items,
            "tier": pa.DictionaryArray.from_arrays(pa.array(tier), pa.array(tiers)),
            "reason": pa.DictionaryArray.from_arrays(pa.array(reason), pa.array(reasons)),
            "priority": people["priority"].combine_chunks(),
            "segment": people["segment"].combine_chunks(),
            "unanswered": pa.DictionaryArray.from_arrays(pa.array(missing), pa.array(reasons)),
        }
    )
    return Partition(table, used, _counts(reason, reasons), _counts(tier, tiers), _counts(missing, reasons))


def _counts(codes: NDArray[np.int8], texts: Sequence[str]) -> Counter[str]:
    """Count by text, leaving out the first, which stands for nothing."""
    totals = np.bincount(codes, minlength=len(texts)).tolist()
    counts = Counter[str]()
    for text, total in list(zip(texts, totals, strict=True))[1:]:
        if total:
            counts[text] += total
    return counts
