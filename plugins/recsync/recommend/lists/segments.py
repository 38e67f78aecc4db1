"""Read and invert the output of a batch segment job.

{"input":{"itemId":"105"},"output":{"recommendedUsers":["106","107"]},"error":null}

Real outputs call the list ``usersList``; the guide shows ``itemAttributes`` beside ``output`` as well as in ``input``.
https://docs.aws.amazon.com/personalize/latest/dg/getting-batch-user-segments.html
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.errors import FatalError
from recsync.privacy import withhold
from recsync.recommend.lists.output_mapping import MappingContext, OutputMapping, staged_lines
from recsync.recommend.lists.output_staging import NOBODY, STAGED, Source, StagedOutput
from recsync.recommend.lists.partitions import Partitions
from recsync.recommend.lists.rules import ragged
from recsync.storage.batch_lines import parse_answer
from recsync.storage.csv_text import ByteStream

log = logging.getLogger(__name__)

SEGMENTS = pa.schema([("query", pa.string()), ("item_id", pa.string()), ("place", pa.int32())])
"""The queries of a job (an item's id or an attribute expression), and the items for the users they find."""
FOUND = pa.schema([("user_id", pa.string()), ("query", pa.int32()), ("rank", pa.int32())])
"""One user found by one query; ``rank`` 0 is the most likely one."""

_READ_BYTES = 8_000_000
# 5 million users, the most that a segment holds, with ids of some 60 characters.
_MAX_LINE_BYTES = 400_000_000
_ROWS_AT_ONCE = 500_000


@dataclass
class FoundReport:
    """Figures of the queries of a job.

    :param answers: a checksum of the users found, by the query's number.
    :param failed: lines with an error.
    :param unreadable: lines that are not about a query of the job.
    """

    asked: int
    answers: dict[int, bytes] = field(default_factory=dict)
    failed: int = 0
    unreadable: int = 0

    @property
    def answered(self) -> int:
        """Number of queries with an answer."""
        return len(self.answers)

    @property
    def text(self) -> str:
        """Describe how many queries have no answer, and why."""
        return (
            f"{self.asked - self.answered} of {self.asked} queries of the batch segment job have no answer "
            f"({self.failed} lines with an error, {self.unreadable} that are not about a query of the job)"
        )


def read_found(outputs: Iterable[Source], queries: pa.Array, report: FoundReport) -> Iterator[pa.RecordBatch]:
    """Read the users found (``FOUND``), in bounded batches, without lines of unknown queries.

    :param queries: each once; ``query`` of the result is an index into them.
    """
    known = {query: number for number, query in enumerate(queries.to_pylist())}
    for name, stream in outputs:
        for number, line in enumerate(_lines(stream), start=1):
            answer = parse_answer(line)
            if answer is None or answer[0] not in known:
                report.unreadable += 1
                log.error("%s line %d is not about a query of the job", name, number)
                continue
            query, users, error = known[answer[0]], answer[1], answer[2]
            if error:
                report.failed += 1
                log.error("%s line %d found nobody: %s", name, number, withhold(error, [answer[0]]))
                continue
            digest = hashlib.blake2b("\n".join(users).encode()).digest()
            former = report.answers.setdefault(query, digest)
            if former is digest:
                yield from _found(query, users)
            elif former != digest:
                raise FatalError(
                    f"{name} line {number} answers a query for the second time, with other users, and nothing says "
                    "which answer counts. Give the output of one job only."
                )


def answered_queries(outputs: Iterable[Source]) -> Iterator[str]:
    """Yield the queries that have an answer."""
    for _name, stream in outputs:
        for answer in filter(None, map(parse_answer, _lines(stream))):
            if not answer[2]:
                yield answer[0]


def _lines(stream: ByteStream) -> Iterator[bytes]:
    held: list[bytes] = []
    while data := stream.read(_READ_BYTES):
        *whole, rest = data.split(b"\n")
        for line in whole:
            yield b"".join([*held, line])
            held = []
        held.append(rest)
        if sum(map(len, held)) > _MAX_LINE_BYTES:
            raise FatalError("The batch output has a line that no segment of 5 million users has.")
    if held and any(held):
        yield b"".join(held)


def _found(query: int, users: list[str]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(users), _ROWS_AT_ONCE):
        block = pa.array(users[start : start + _ROWS_AT_ONCE], pa.string())
        ranks = pa.array(np.arange(start, start + len(block), dtype=np.int32))
        same = pa.array(np.full(len(block), query, np.int32))
        yield pa.RecordBatch.from_arrays([block, same, ranks], schema=FOUND)


def write_found_people(outputs: Iterable[Source], queries: pa.Array, target: Path) -> int:
    """Write the ids of all users found (``user_id``, with repeats).

    :returns: the number of queries.
    :raises FatalError: when a query has no answer: the users it would have found must not lose their lists.
    """
    report = FoundReport(len(queries))
    only = pa.schema([FOUND.field("user_id")])
    with pq.ParquetWriter(target, only, compression="zstd") as writer:
        for batch in read_found(outputs, queries, report):
            writer.write_batch(batch.select(only.names))
    if report.answered < report.asked:
        raise FatalError(
            f"{report.text}, so the audience is not known, and nothing was changed. Correct the items of "
            "audience.segment if they are not in the data that the champion was trained on, and start a new run."
        )
    return report.asked


def by_segment(segments: Path) -> OutputMapping:
    """Give each user the items of the queries that found the user, best rank first.

    :param segments: Parquet file of ``SEGMENTS``, in the order of the query.
    """

    def map_lines(outputs: Iterable[Source], mapping: MappingContext) -> StagedOutput:
        asked = pq.read_table(segments, schema=SEGMENTS).combine_chunks()
        named = asked["query"].chunk(0).dictionary_encode()
        report, found = FoundReport(len(named.dictionary)), mapping.partitions("found", FOUND)
        with found:
            for batch in read_found(outputs, named.dictionary, report):
                found.add(batch)
        if not report.answered:
            raise FatalError(f"{report.text}; nothing was published. The lines stand in the job's output.")
        partly = report.answered < report.asked
        if partly:
            log.warning("%s: whoever was not found by the others keeps the present list", report.text)
        positions = mapping.catalog.positions(asked["item_id"].chunk(0))
        order = np.argsort(named.indices.to_numpy(), kind="stable")
        sizes = np.bincount(named.indices.to_numpy(), minlength=len(named.dictionary))
        return StagedOutput(
            _FoundLines(found, positions[order], sizes, partly=partly),
            # A query without an answer may have found any user.
            asked=None if partly else NOBODY,
            questions=(report.asked, report.answered),
            unreadable=report.unreadable,
        )

    return map_lines


@dataclass(frozen=True)
class _FoundLines:
    """The users found, as lines.

    :param items: catalog positions, query by query.
    :param sizes: number of items by query.
    :param partly: whether a query has no answer.
    """

    found: Partitions
    items: NDArray[np.int32]
    sizes: NDArray[np.int64]
    partly: bool

    def read(self, part: int) -> pa.Table:
        """Make the lists of one partition of users."""
        rows = self.found.read(part).combine_chunks()
        if not rows.num_rows:
            return STAGED.empty_table()
        named = rows["user_id"].chunk(0).dictionary_encode()
        query = rows["query"].to_numpy()
        owners = named.indices.to_numpy().astype(np.int64)
        order = np.lexsort((query, rows["rank"].to_numpy(), owners))
        lengths = self.sizes[query[order]]
        starts = (np.cumsum(self.sizes) - self.sizes)[query[order]]
        owner, items = _without_repeats(
            np.repeat(owners[order], lengths), self.items[ragged(starts, lengths)]
        )
        people = len(named.dictionary)
        failed = np.full(people, self.partly)
        return staged_lines(named.dictionary, np.bincount(owner, minlength=people), items, failed)


def _without_repeats(
    owners: NDArray[np.int64], items: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Keep each owner's first entry of each item."""
    keys = owners * (int(items.max(initial=0)) + 2) + items + 1
    _, firsts = np.unique(keys, return_index=True)
    firsts.sort()
    return owners[firsts], items[firsts]
