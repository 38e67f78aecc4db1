"""The lines of a batch output on the local disk: read by two threads, item ids as positions, split by user."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsync.core.byte_stream import ByteStream
from recsync.core.lists.batch_output import USER, BlockLines, cut_blocks, read_block
from recsync.core.lists.catalogue import Catalogue
from recsync.core.lists.partitions import Partitions, Parts

log = logging.getLogger(__name__)

Source = tuple[str, ByteStream]
"""Name of an object, for the log, and its bytes."""

SPOOLED = pa.schema([("user_id", pa.string()), ("items", pa.list_(pa.int32())), ("error", pa.int16())])
"""One line: ``items`` are catalogue positions, -1 if unknown; ``error`` is null or a number of ``Spool.errors``."""

# The two cores of a small Airflow worker; what they do mostly needs no lock of Python's.
THREADS = 2
# Blocks that the threads read ahead; bounds the memory.
_BLOCKS_AHEAD = 2 * THREADS
# A broken file should not flood the log.
_LOGGED_LINES = 20
# Texts of errors kept apart; the service has few, but they may hold ids.
_MAX_ERRORS = 100
OTHER_ERRORS = "other errors, see the batch output"

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Spool:
    """The lines of all objects.

    :param lines: ``SPOOLED``, split by user as the audience is.
    :param errors: what the service said about failed lines.
    :param unreadable: lines in which nobody was found.
    """

    lines: Parts
    errors: list[str] = field(default_factory=list)
    unreadable: int = 0

    def error_number(self, text: str) -> int:
        """Number an error text; very many different ones share the last number."""
        if text not in self.errors:
            text = text if len(self.errors) < _MAX_ERRORS else OTHER_ERRORS
            if text not in self.errors:
                self.errors.append(text)
        return self.errors.index(text)


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
    for block in in_order(threads, lambda data: _read(data, catalogue, key), cut_blocks(stream)):
        for line in block.unreadable[: max(0, _LOGGED_LINES - unreadable)]:
            log.error("%s line %d: %s", name, lines_before + line.line, line.reason)
        unreadable += len(block.unreadable)
        lines_before += block.line_ends
        lines.add(_numbered(block.columns, spool))
    if unreadable > _LOGGED_LINES:
        log.error("%s: %d unreadable lines, of which %d are named", name, unreadable, _LOGGED_LINES)
    spool.unreadable += unreadable


def _read(data: bytes, catalogue: Catalogue, key: str) -> BlockLines:
    """Read a block and look its items up, without holding Python's lock for most of it."""
    block = read_block(data, key)
    item_ids = block.columns["item_ids"]
    lengths = pc.list_value_length(item_ids).fill_null(0).to_numpy()
    offsets = np.zeros(len(item_ids) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    positions = pa.array(catalogue.positions(item_ids.flatten()))
    items = pa.ListArray.from_arrays(pa.array(offsets), positions)
    columns = [block.columns["user_id"], items, block.columns["error"]]
    return replace(block, columns=pa.RecordBatch.from_arrays(columns, names=SPOOLED.names))


def _numbered(columns: pa.RecordBatch, spool: Spool) -> pa.RecordBatch:
    errors = columns["error"]
    if errors.null_count == len(errors):
        numbers = pa.nulls(len(errors), pa.int16())
    else:
        texts = errors.dictionary_encode()
        known = pa.array([spool.error_number(text) for text in texts.dictionary.to_pylist()], pa.int16())
        numbers = known.take(texts.indices)
    return pa.RecordBatch.from_arrays([columns["user_id"], columns["items"], numbers], schema=SPOOLED)


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
