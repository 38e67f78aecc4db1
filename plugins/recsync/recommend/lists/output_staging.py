"""Stage the lines of a batch output on the local disk, partitioned by user, and pick each user's line."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsync.privacy import withhold, withhold_literals
from recsync.recommend.lists.batch_output import USER, BlockLines, cut_blocks, read_block
from recsync.recommend.lists.catalog import ItemCatalog
from recsync.recommend.lists.partitions import Partitions, Parts
from recsync.recommend.lists.rules import ragged
from recsync.storage import machine
from recsync.storage.csv_text import ByteStream

log = logging.getLogger(__name__)
Source = tuple[str, ByteStream]
"""Name of an object, for the log, and its bytes."""

STAGED = pa.schema([("user_id", pa.string()), ("items", pa.list_(pa.int32())), ("failed", pa.bool_())])
"""One line: ``items`` are catalog positions, -1 if unknown; a line with an error is ``failed`` and has none."""
SCORED = STAGED.append(pa.field("scores", pa.list_(pa.float32())))
"""The same where scores are read; as long as ``items``, NaN for an item without a score."""

# Bytes on the local disk for each byte of an output, at most: ids and positions, and scores where they are read.
STAGED_SHARE = 0.5
# A broken file should not flood the log.
_LOGGED_LINES = 20
_LOGGED_REASONS = 5
# Number of failed lines per block (of some thousand lines) for which the reason is read.
_READ_REASONS = 200
_REASON_LENGTH = 300

T = TypeVar("T")
R = TypeVar("R")


class _Nobody:
    """No users in any partition."""

    def read(self, part: int) -> pa.Table:
        """Read one partition."""
        return pa.table({"user_id": pa.array([], pa.string())})


NOBODY: Parts = _Nobody()


@dataclass
class StagedOutput:
    """The lines of all objects.

    :param lines: ``STAGED`` or ``SCORED``, split by user as the audience is.
    :param asked: whom the job was asked about, beside those who have a line; None: everybody.
    :param questions: how many questions the job was asked, and how many it answered; None: one for each user.
    :param unreadable: lines without a readable user.
    """

    lines: Parts
    asked: Parts | None = None
    questions: tuple[int, int] | None = None
    unreadable: int = 0

    def read(self, part: int) -> tuple[pa.Table, pa.Table | None]:
        """Read the lines and the input users of one partition; None instead of the users means all."""
        return self.lines.read(part), None if self.asked is None else self.asked.read(part)


def stage_output(
    sources: Iterable[Source], catalog: ItemCatalog, lines: Partitions, *, key: str = USER
) -> StagedOutput:
    """Read every object once, block by block.

    :param lines: of the schema ``STAGED`` or ``SCORED``.
    :param key: what the lines are about, as ``batch_output`` names it.
    """
    staged = StagedOutput(lines)
    with_scores = lines.schema == SCORED

    def read(data: bytes) -> tuple[BlockLines, pa.RecordBatch, Counter[str]]:
        """Read a block and look its items up, without Python's lock for most of it."""
        block = read_block(data, key, with_scores=with_scores)
        failed = pc.is_valid(block.columns["error"])
        return block, _staged(block, failed, catalog, with_scores=with_scores), _reasons(block, failed)

    ahead = 2 * machine.cpus()
    with ThreadPoolExecutor(ahead // 2) as threads, lines:
        for name, stream in sources:
            unreadable = lines_before = 0
            reasons: Counter[str] = Counter()
            for block, batch, why in in_order(threads, read, cut_blocks(stream), ahead):
                for line in block.unreadable[: max(0, _LOGGED_LINES - unreadable)]:
                    log.error("%s line %d: %s", name, lines_before + line.line, line.reason)
                unreadable += len(block.unreadable)
                lines_before += block.line_ends
                lines.add(batch)
                reasons += why
            for reason, times in reasons.most_common(_LOGGED_REASONS):
                log.error("%s: at least %d lines have the error: %s", name, times, reason)
            if unreadable > _LOGGED_LINES:
                log.error("%s: %d unreadable lines, of which %d are named", name, unreadable, _LOGGED_LINES)
            staged.unreadable += unreadable
    return staged


def _staged(
    block: BlockLines, failed: pa.BooleanArray, catalog: ItemCatalog, *, with_scores: bool
) -> pa.RecordBatch:
    """Replace items by catalog positions; a failed line has none."""
    items = block.columns["items"]
    if failed.true_count:
        items = pc.if_else(failed, None, items)
    lengths = pc.list_value_length(items).fill_null(0).to_numpy()
    offsets = np.zeros(len(items) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    lists = [pa.array(catalog.positions_of(items.flatten().to_numpy()))]
    if with_scores:
        scores = block.columns["scores"]
        known = pc.equal(pc.list_value_length(scores), pa.array(lengths)).fill_null(False)
        values = np.full(int(offsets[-1]), np.nan, np.float32)
        values[np.repeat(known.to_numpy(zero_copy_only=False), lengths)] = (
            scores.filter(known).flatten().to_numpy(zero_copy_only=False)
        )
        values[~np.isfinite(values)] = np.nan
        lists.append(pa.array(values))
    columns = [pa.ListArray.from_arrays(pa.array(offsets), values) for values in lists]
    arrays = [block.columns["user_id"], columns[0], failed, *columns[1:]]
    return pa.RecordBatch.from_arrays(arrays, schema=SCORED if with_scores else STAGED)


def _reasons(block: BlockLines, failed: pa.BooleanArray) -> Counter[str]:
    """Count the error texts of the first failed lines, without the ids in them."""
    lines = block.columns.filter(failed).slice(0, _READ_REASONS)
    found = zip(lines["user_id"].to_pylist(), lines["error"].to_pylist(), strict=True)
    return Counter(withhold_literals(withhold(reason, [user]))[:_REASON_LENGTH] for user, reason in found)


def in_order(threads: Executor, work: Callable[[T], R], things: Iterable[T], ahead: int) -> Iterator[R]:
    """Process things in threads and yield the results in order, reading at most ``ahead`` things ahead."""
    waiting: deque[Future[R]] = deque()
    for thing in things:
        waiting.append(threads.submit(work, thing))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@dataclass(frozen=True)
class Lines:
    """Each user's line: the first one with an answer, else the first one.

    :param failed: the line has an error, or answers only part of the user's questions.
    :param lengths: how many items the line has; 0 without one.
    :param scores: of ``items``, NaN where an item has none; None when no scores were read.
    :param unknown_users: lines of other users.
    :param repeated: further answers of a user.
    :param conflicts: users of whom two answers differ.
    """

    found: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    items: NDArray[np.int32]
    scores: NDArray[np.float32] | None
    unknown_users: int
    repeated: int
    conflicts: int


def dedupe_lines(lines: pa.Table, users: pa.Array) -> Lines:
    """Pick each user's line.

    :param lines: ``STAGED`` or ``SCORED``, in the order of the output.
    :param users: each once.
    """
    owners = pc.index_in(lines["user_id"], value_set=users).fill_null(-1).to_numpy()
    failed = lines["failed"].to_numpy()
    inside = np.flatnonzero(owners >= 0)
    # An answer counts before an error of the same user, in whichever order they come.
    inside = inside[np.argsort(failed[inside], kind="stable")]
    owned, firsts = np.unique(owners[inside], return_index=True)
    chosen, others = inside[firsts], np.sort(np.delete(inside, firsts))
    further = others[~failed[others]]
    found = np.zeros(len(users), np.bool_)
    found[owned] = True
    kept = _rows_of(lines, chosen)
    line_of = np.zeros(len(users), np.int64)
    line_of[owned] = np.searchsorted(np.sort(chosen), chosen)
    offsets, items, scores = _flat(kept)
    lengths = np.zeros(len(users), np.int64)
    lengths[owned] = np.diff(offsets)[line_of[owned]]
    starts, has_error = offsets[line_of], np.zeros(len(users), np.bool_)
    has_error[owned] = failed[chosen]
    conflicts = 0
    if len(further):
        again = owners[further]
        differ = _differ(starts[again], lengths[again], items, _rows_of(lines, further))
        conflicts = len(np.unique(again[differ]))
    unknown_users = lines.num_rows - len(inside)
    return Lines(found, has_error, starts, lengths, items, scores, unknown_users, len(further), conflicts)


def _rows_of(lines: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """Copy some rows, in their order in the table; a filter, unlike ``take``, does not join the chunks first."""
    mask = np.zeros(lines.num_rows, np.bool_)
    mask[rows] = True
    return lines.drop_columns(["user_id", "failed"]).filter(pa.array(mask)).combine_chunks()


def _flat(lines: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32] | None]:
    """Return offsets, items and scores of lines in one chunk."""
    if not lines.num_rows:
        return np.zeros(1, np.int64), np.empty(0, np.int32), None
    lists = lines["items"].chunk(0)
    scores = lines["scores"].chunk(0).values.to_numpy() if "scores" in lines.column_names else None
    return lists.offsets.to_numpy().astype(np.int64), lists.values.to_numpy(), scores


def _differ(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], items: NDArray[np.int32], further: pa.Table
) -> NDArray[np.bool_]:
    """Mark the further lines with other items than the user's first answer."""
    offsets, others, _ = _flat(further)
    differ: NDArray[np.bool_] = np.diff(offsets) != lengths
    same = np.flatnonzero(~differ)
    unequal = items[ragged(starts[same], lengths[same])] != others[ragged(offsets[same], lengths[same])]
    differ[np.repeat(same, lengths[same])[unequal]] = True
    return differ
