"""Build the lists of one partition of users: rules, fallback, rows to publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.program import Recommendations
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.history import History, similar_items
from recsync.recommend.lists.left_out import LeftOut
from recsync.recommend.lists.output_staging import Lines, dedupe_lines
from recsync.recommend.lists.rules import (
    PERSONAL,
    PUT_BY,
    UNKNOWN,
    Candidates,
    ListRules,
    Lists,
    Past,
    PutBy,
    Scores,
    Tier,
    UserItems,
    compact_all,
    fill,
    ragged,
)
from recsync.recommend.lists.selection import SelectedLists, Selection

LISTS = pa.schema(
    [
        ("external_id", pa.string()),
        ("items", pa.list_(pa.int32())),
        ("scores", pa.list_(pa.float32())),
        ("tier", pa.string()),
        ("reason", pa.string()),
        ("priority", pa.float64()),
        ("segment", pa.string()),
        ("unanswered", pa.string()),
        ("arm", pa.string()),
        ("put_by", pa.list_(pa.string())),
    ]
)
"""The published lists: one row per person; without a list ``items`` is empty and ``reason`` says why.

``items`` are positions in the catalog that is published with the lists. ``scores`` is parallel to them, NULL for an
item without a score; the whole list is NULL where no scores were read. ``tier`` is the furthest source used:
``personal`` or a tier of the fallback; empty without a list. ``unanswered`` says why the job has no answer for a person
it was asked about, else it is empty. Such a person keeps the list in Braze for some days; ``items`` is what follows
then. ``arm`` is the person's arm of the program's experiment, NULL outside it. ``put_by`` is parallel to ``items``: a
member of ``rules.PUT_BY`` for each, what put it there; NULL in files of versions that did not record it.
"""
NO_LINE = "the batch output has no line for this person"
FAILED = "the batch output has an error for this person"
NOT_ASKED = "no candidate, seed or segment leads to this person"

_NO_LISTS: Mapping[str, pa.Table] = {}
# Places of a matrix of lists; bounds the memory whatever the lengths of the lists.
_MAX_PLACES = 250_000
# People filled from the fallback at a time, for the same reason.
_FILLED_PEOPLE = 10_000


@dataclass
class ListsReport:
    """Figures of an audience and a batch output.

    :param users: people in the audience; each has one row.
    :param lists: of them with a list.
    :param suppressed: reason -> people without a list.
    :param tiers: furthest tier used -> people with a list.
    :param unanswered: reason -> people for whom the output should have an answer and has none.
    :param dropped: rule -> entries of the output's lists that it dropped.
    :param short: rule -> people with fewer items than ``length``, or without a list, who lost candidates to it; a
        person may count under several rules.
    :param missed: rule about a share -> lists that miss it.
    :param items: different items in all lists.
    :param questions: how many answers the output should hold: one for each person of the audience whom the job was
        asked about; of a segment job, one for each query.
    :param answered: how many of them it holds.
    :param matched: people for whom the output has a line, even one with an error.
    :param unknown_users: lines of users who are not in the audience.
    :param repeated: further answers of a user, equal to the first one.
    :param conflicts: users of whom two answers differ.
    :param unreadable: lines without a readable user.
    :param files: number of files of lists.
    :param notes: what the rules could not look at, for people.
    """

    users: int = 0
    lists: int = 0
    suppressed: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    short: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    items: int = 0
    questions: int = 0
    answered: int = 0
    matched: int = 0
    unknown_users: int = 0
    repeated: int = 0
    conflicts: int = 0
    unreadable: int = 0
    files: int = 0
    notes: list[str] = field(default_factory=list)

    def __iadd__(self, part: ListsReport) -> Self:
        """Add the figures of one partition."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(part, each.name))
        return self


class BuiltPartition(NamedTuple):
    """The rows of some people.

    :param lists: ``LISTS``, texts as dictionaries.
    :param used: which items of the catalog they hold; shape (items).
    :param left_out: ``LEFT_OUT``; None when it is not recorded.
    """

    lists: pa.Table
    used: NDArray[np.bool_]
    report: ListsReport
    left_out: pa.Table | None


def build_partition(
    people: pa.Table,
    lines: pa.Table,
    purchases: pa.Table | None,
    catalog: ItemCatalog,
    policy: Recommendations,
    history: History | None,
    asked: pa.Table | None,
    past_lists: Mapping[str, pa.Table] = _NO_LISTS,
    *,
    is_asked: bool = True,
    explained: bool = False,
) -> BuiltPartition:
    """Make the rows of some people.

    :param people: ``AUDIENCE``; ``lines``: ``STAGED`` or ``SCORED``; ``purchases``: ``PURCHASES``; of the same users.
    :param asked: users of the job input, besides those with a line; None: all.
    :param past_lists: by member of ``Rules``, the lists (``history.PAST_LISTS``) with the items to leave out.
    :param is_asked: whether these people have a job; false in popular arms.
    :param explained: whether to record what the rules leave out.
    """
    named = people["user_id"].combine_chunks().dictionary_encode()
    users = named.indices.to_numpy().astype(np.int64)
    found = dedupe_lines(lines, named.dictionary)
    bought = _Purchases.of(purchases, named.dictionary) if purchases and history else None
    past = {rule: user_items(lists, named.dictionary, len(catalog)) for rule, lists in past_lists.items()}
    if bought and history and history.bought_since is not None:
        past["not_bought_in_days"] = bought.since(history.bought_since, len(catalog))
    selection = Selection(policy, ListRules(policy.rules, catalog), history.pools if history else {})
    rules = selection.rules
    left_out = LeftOut.of(len(users), with_entries=explained)
    lists, put_by, scores, own, dropped = _personal(found, users, selection, past, left_out)
    expected = found.found | (_named(asked, named.dictionary) if asked is not None else is_asked)
    short = ~own | (np.count_nonzero(lists >= 0, axis=1) < policy.shortest)
    unanswered = short & (found.failed | (expected & ~found.found))[users]
    last = np.zeros(len(lists), np.int8)
    if history and policy.fallback:
        segments = pc.index_in(people["segment"].combine_chunks(), value_set=history.segments)
        codes = segments.fill_null(-1).to_numpy().astype(np.int64)
        few, numbers = np.flatnonzero(short), np.array([0, *map(PUT_BY.index, policy.fallback)], np.int8)
        for start in range(0, len(few), _FILLED_PEOPLE):
            block = few[start : start + _FILLED_PEOPLE]
            tiers = [_tier(name, history, bought, users[block], codes[block]) for name in policy.fallback]
            here = LeftOut.of(len(block))
            lists[block], given = fill(
                lists[block], users[block], tiers, rules, past, here, among=selection.uncapped
            )
            last[block] = given.max(axis=1)
            put_by[block] = np.where(given > 0, numbers[given], put_by[block])
            left_out.bits[block] |= here.bits
            if explained:
                left_out.seeds += [
                    (block[rows], items) for tier in tiers for rows, items in tier.seeds_of_rows()
                ]
    # A list needs other items than promoted and new ones.
    lists[(np.count_nonzero(lists >= 0, axis=1) < policy.shortest) | (~own & (last == 0))] = -1
    lists, put_by, scores, missed = selection.finish(lists, put_by, scores)
    lineless = np.where(expected, 1, 3) if is_asked else np.full(len(expected), 4)
    why = np.where(unanswered, np.where(found.found, 2, 1)[users], np.where(found.found, 4, lineless)[users])
    sources, reasons = ("", PERSONAL, *policy.fallback), _reasons(policy)
    table, used, report = publishable(
        people, lists, put_by, scores, last, unanswered, why, sources, reasons, catalog
    )
    report.dropped, report.missed = dropped, missed
    costs = left_out.bits[np.count_nonzero(lists >= 0, axis=1) < policy.length]
    for name, bit in rules.bits.items():
        if count := int(np.count_nonzero(costs & bit)):
            report.short[name] = count
    report.questions, report.matched = (
        int(np.count_nonzero(each[users])) for each in (expected, found.found)
    )
    report.answered = report.questions - report.unanswered.total()
    report.unknown_users = found.unknown_users
    report.repeated, report.conflicts = found.repeated, found.conflicts
    why_not = left_out.table(table["external_id"].combine_chunks()) if explained else None
    return BuiltPartition(table, used, report, why_not)


def _reasons(policy: Recommendations) -> tuple[str, ...]:
    return "", NO_LINE, FAILED, NOT_ASKED, f"fewer than {policy.shortest} items that may be mailed"


def _named(users: pa.Table, names: pa.Array) -> NDArray[np.bool_]:
    """Mark the names that are among some users."""
    values = pc.unique(users["user_id"]).cast(pa.string())
    found: NDArray[np.bool_] = pc.is_in(names, value_set=values).to_numpy(zero_copy_only=False)
    return found


@dataclass(frozen=True)
class _Purchases:
    """Purchases of the partition's users, who are numbered as its lines are."""

    users: NDArray[np.int64]
    items: NDArray[np.int32]
    times: NDArray[np.int64]

    @classmethod
    def of(cls, purchases: pa.Table, names: pa.Array) -> _Purchases:
        owners = pc.index_in(purchases["user_id"].combine_chunks(), value_set=names).fill_null(-1).to_numpy()
        inside = owners >= 0
        return cls(
            owners[inside].astype(np.int64),
            purchases["item"].to_numpy()[inside],
            purchases["timestamp"].to_numpy()[inside],
        )

    def since(self, moment: int, items: int) -> UserItems:
        late = self.times >= moment
        return UserItems(np.sort(self.users[late] * items + self.items[late]), items)


def user_items(lists: pa.Table, names: pa.Array, items: int) -> UserItems:
    """Pair the users of a partition with the items of their former lists.

    :param lists: ``history.PAST_LISTS``.
    :param items: how many items the catalog holds.
    """
    found = [np.empty(0, np.int64)]
    # Batch by batch: the lists of many days are far larger than their keys.
    for batch in lists.to_batches():
        owners = pc.index_in(batch["user_id"], value_set=names).fill_null(-1).to_numpy()
        users = np.repeat(owners.astype(np.int64), pc.list_value_length(batch["items"]).to_numpy())
        positions = batch["items"].flatten().to_numpy()
        known = (users >= 0) & (positions >= 0)
        found.append(users[known] * items + positions[known])
    keys = np.concatenate(found)
    keys.sort()
    return UserItems(keys, items)


def _personal(
    lines: Lines,
    users: NDArray[np.int64],
    selection: Selection,
    past: Past,
    left_out: LeftOut,
) -> SelectedLists:
    """Apply the rules to each person's own list.

    :param left_out: by person, records what the rules drop.
    """
    rules, length, own = selection.rules, selection.policy.length, np.zeros(len(users), np.bool_)
    lists, dropped = np.full((len(users), length), -1, np.int32), Counter[str]()
    put_by = np.zeros(lists.shape, np.int8)
    scores = None if lines.scores is None else np.full(lists.shape, np.nan, np.float32)
    lengths = lines.lengths[users]
    for start, end in _row_blocks(lengths, 0, len(users)):
        rows, sizes = users[start:end], lengths[start:end]
        block = np.full((len(rows), int(sizes.max(initial=0))), -1, np.int32)
        held, places = np.arange(block.shape[1]) < sizes[:, None], ragged(lines.starts[rows], sizes)
        block[held] = lines.items[places]
        of_block = None
        if lines.scores is not None:
            of_block = np.full(block.shape, np.nan, np.float32)
            of_block[held] = lines.scores[places]
        known = np.count_nonzero(block >= 0, axis=1)
        dropped[UNKNOWN] += int(sizes.sum()) - int(known.sum())
        candidates, costs = Candidates(block, rows, past, of_block), left_out.rows(start, end)
        costs.add_unknown(rules.numbers[UNKNOWN], sizes - known)
        ordered = False if selection.is_needed else None
        candidates.lists, broken = rules.apply(candidates, costs, ordered=ordered)
        dropped.update(broken)
        if selection.is_needed:
            block, put_by[start:end], of_block, own[start:end], broken = selection.choose(candidates, costs)
            dropped.update(broken)
        else:
            others = [] if of_block is None else [of_block]
            block, *others = compact_all(candidates.lists, length, *others)
            own[start:end] = (block >= 0).any(axis=1)
            of_block = others[0] if others else None
        if scores is not None and of_block is not None:
            scores[start:end, : block.shape[1]] = np.where(block >= 0, of_block, np.nan)
        lists[start:end, : block.shape[1]] = block
    return SelectedLists(lists, put_by, scores, own, dropped)


def _row_blocks(lengths: NDArray[np.int64], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut rows in halves until each block's matrix is small enough, however long a single row is."""
    rows = end - start
    if rows > 1 and rows * int(lengths[start:end].max()) > _MAX_PLACES:
        middle = start + rows // 2
        yield from _row_blocks(lengths, start, middle)
        yield from _row_blocks(lengths, middle, end)
    elif rows:
        yield start, end


def _tier(
    name: str,
    history: History,
    bought: _Purchases | None,
    users: NDArray[np.int64],
    segments: NDArray[np.int64],
) -> Tier:
    """Return a tier for some people, who are numbered from 0."""
    if name == "popular":
        return Tier(history.popular[None], np.zeros(len(users), np.int64))
    if name == "popular_in_segment":
        return Tier(history.popular_in_segment, segments)
    if bought is None or history.similar is None:
        return Tier(np.empty((0, 0), np.int32), np.full(len(users), -1))
    asked, rows = np.unique(users, return_inverse=True)
    places = np.minimum(np.searchsorted(asked, bought.users), len(asked) - 1)
    chosen = (asked[places] == bought.users) & (bought.times >= history.fallback_since)
    ranked, recent = similar_items(
        history.similar, places[chosen], bought.items[chosen], bought.times[chosen], len(asked)
    )
    return Tier(ranked, rows, recent)


def publishable(
    people: pa.Table,
    lists: Lists,
    put_by: PutBy,
    scores: Scores | None,
    last: NDArray[np.int8],
    unanswered: NDArray[np.bool_],
    why: NDArray[np.int64],
    tiers: Sequence[str],
    reasons: Sequence[str],
    catalog: ItemCatalog,
) -> tuple[pa.Table, NDArray[np.bool_], ListsReport]:
    """Make the rows.

    :param last: by person, the position in ``tiers`` of the furthest tier used, less 1.
    :param why: by person, the number in ``reasons`` of the reason for which there would be no list.
    """
    held = lists >= 0
    sizes = np.count_nonzero(held, axis=1)
    used = np.zeros(len(catalog), np.bool_)
    used[lists[held]] = True
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    if scores is None:
        score_lists = pa.nulls(len(lists), LISTS.field("scores").type)
    else:
        values = scores[held]
        score_lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, mask=np.isnan(values)))
    coded = {
        "tier": (np.where(sizes > 0, last + 1, 0), tiers),
        "reason": (np.where(sizes > 0, 0, why), reasons),
        "unanswered": (np.where(unanswered, why, 0), reasons),
    }
    columns = {
        name: pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), pa.array(texts, pa.string()))
        for name, (codes, texts) in coded.items()
    }
    columns |= {name: people[name].combine_chunks() for name in ("external_id", "priority", "segment", "arm")}
    items = pa.ListArray.from_arrays(pa.array(offsets), pa.array(lists[held]))
    named = pa.DictionaryArray.from_arrays(pa.array(put_by[held]), pa.array(PUT_BY, pa.string()))
    columns |= {"items": items, "scores": score_lists}
    columns["put_by"] = pa.ListArray.from_arrays(items.offsets, named)
    tier, reason, missing = (_counts(codes, texts) for codes, texts in coded.values())
    report = ListsReport(len(lists), tier.total(), reason, tier, missing)
    return pa.table([columns[name] for name in LISTS.names], LISTS.names), used, report


def _counts(codes: NDArray[np.int64], texts: Sequence[str]) -> Counter[str]:
    """Count by text, without the first, empty one."""
    totals = np.bincount(codes, minlength=len(texts)).tolist()
    return Counter({text: total for text, total in list(zip(texts, totals, strict=True))[1:] if total})
