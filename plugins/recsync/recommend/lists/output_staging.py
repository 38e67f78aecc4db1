"""The lines of a batch output on the local disk: read by two threads, item ids as positions, split by user."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsync.privacy import withhold, withhold_literals
from recsync.recommend.lists.batch_output import USER, BlockLines, cut_blocks, read_block
from recsync.recommend.lists.catalogue import Catalogue
from recsync.recommend.lists.partitions import Partitions, Parts
from recsync.storage.byte_stream import ByteStream

log = logging.getLogger(__name__)

Source = tuple[str, ByteStream]
"""Name of an object, for the log, and its bytes."""

SPOOLED = pa.schema([("user_id", pa.string()), ("items", pa.list_(pa.int32())), ("failed", pa.bool_())])
"""One line: ``items`` are catalogue positions, -1 if unknown; a line with an error is ``failed`` and has none."""

# The two cores of a small Airflow worker; what they do mostly needs no lock of Python's.
THREADS = 2
# Blocks that the threads read ahead; bounds the memory.
_BLOCKS_AHEAD = 2 * THREADS
# A broken file should not flood the log.
_LOGGED_LINES = 20
_LOGGED_REASONS = 5
# Failed lines of one block, of some thousand lines, whose reasons are read.
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
class Spool:
    """The lines of all objects.

    :param lines: ``SPOOLED``, split by user as the audience is.
    :param asked: whom the job was asked about, beside those who have a line; None: everybody.
    :param questions: how many questions the job was asked, and how many it answered; None: one for each user.
    :param unreadable: lines in which nobody was found.
    """

    lines: Parts
    asked: Parts | None = None
    questions: tuple[int, int] | None = None
    unreadable: int = 0


def spool_output(
    sources: Iterable[Source], catalogue: Catalogue, lines: Partitions, *, key: str = USER
) -> Spool:
    """Read every object once, block by block.

    :param key: what the lines are about, as ``batch_output`` names it.
    """
    spool = Spool(lines)
    with ThreadPoolExecutor(THREADS) as threads, lines:
        for name, stream in sources:
            _spool_object(name, stream, catalogue, spool, threads, lines, key)
    return spool


def _spool_object(
    name: str,
    stream: ByteStream,
    catalogue: Catalogue,
    spool: Spool,
    threads: Executor,
    lines: Partitions,
    key: str,
) -> None:
    unreadable = lines_before = 0
    reasons: Counter[str] = Counter()
    for block, why in in_order(threads, lambda data: _read(data, catalogue, key), cut_blocks(stream)):
        for line in block.unreadable[: max(0, _LOGGED_LINES - unreadable)]:
            log.error("%s line %d: %s", name, lines_before + line.line, line.reason)
        unreadable += len(block.unreadable)
        lines_before += block.line_ends
        lines.add(block.columns)
        reasons += why
    for reason, count in reasons.most_common(_LOGGED_REASONS):
        log.error("%s: at least %d lines have the error: %s", name, count, reason)
    if unreadable > _LOGGED_LINES:
        log.error("%s: %d unreadable lines, of which %d are named", name, unreadable, _LOGGED_LINES)
    spool.unreadable += unreadable


def _read(data: bytes, catalogue: Catalogue, key: str) -> tuple[BlockLines, Counter[str]]:
    """Read a block and look its items up, without holding Python's lock for most of it; count why lines failed."""
    block = read_block(data, key)
    failed = pc.is_valid(block.columns["error"])
    item_ids = pc.if_else(failed, None, block.columns["item_ids"])
    lengths = pc.list_value_length(item_ids).fill_null(0).to_numpy()
    offsets = np.zeros(len(item_ids) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    positions = pa.array(catalogue.positions(item_ids.flatten()))
    items = pa.ListArray.from_arrays(pa.array(offsets), positions)
    columns = [block.columns["user_id"], items, failed]
    return replace(block, columns=pa.RecordBatch.from_arrays(columns, schema=SPOOLED)), _reasons(
        block, failed
    )


def _reasons(block: BlockLines, failed: pa.BooleanArray) -> Counter[str]:
    """Count the error texts of the first failed lines, without the ids in them."""
    lines = block.columns.filter(failed).slice(0, _READ_REASONS)
    found = zip(lines["user_id"].to_pylist(), lines["error"].to_pylist(), strict=True)
    return Counter(withhold_literals(withhold(reason, [user]))[:_REASON_LENGTH] for user, reason in found)


def in_order(
    threads: Executor, work: Callable[[T], R], things: Iterable[T], ahead: int = _BLOCKS_AHEAD
) -> Iterator[R]:
    """Work on things in threads and give the results in order, at most ``ahead`` before the next one."""
    waiting: deque[Future[R]] = deque()
    for thing in things:
        waiting.append(threads.submit(work, thing))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
