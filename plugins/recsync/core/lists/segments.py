"""The output of a batch segment job: who was found for an item or for item attributes, and lists made of it.

    {"input":{"itemId":"105"},"output":{"recommendedUsers":["106","107"]},"error":null}

Real outputs call the list ``usersList``; the guide shows ``itemAttributes`` beside ``output`` as well as in ``input``.
https://docs.aws.amazon.com/personalize/latest/dg/getting-batch-user-segments.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.core.byte_stream import ByteStream
from recsync.core.lists.joins import Join, Joining, spooled
from recsync.core.lists.output_spool import SPOOLED, Source, Spool
from recsync.core.lists.partitions import Partitions
from recsync.core.lists.rules import ragged
from recsync.core.privacy import withhold
from recsync.errors import FatalError

log = logging.getLogger(__name__)

SEGMENTS = pa.schema([("query", pa.string()), ("item_id", pa.string()), ("place", pa.int32())])
"""What a job asks for (an item's id or an attribute expression), and the items that those found for it get."""
FOUND = pa.schema([("user_id", pa.string()), ("query", pa.int32()), ("rank", pa.int32())])
"""One person found for one query, ``rank`` 0 for who is most likely."""

_KEYS = ("itemId", "itemAttributes")
_USERS = ("recommendedUsers", "usersList")
_READ_BYTES = 8_000_000
# 5 million users, the most that a segment holds, with ids of some 60 characters.
_MAX_LINE_BYTES = 400_000_000
_ROWS_AT_ONCE = 500_000


@dataclass
class FoundReport:
    """How many queries were answered, and what was said about the others."""

    answered: int = 0
    failed: int = 0
    unreadable: int = 0


def read_found(outputs: Iterable[Source], queries: pa.Array, report: FoundReport) -> Iterator[pa.RecordBatch]:
    """Read who was found (``FOUND``), in bounded batches; lines that are about no known query are left out.

    :param queries: each once; ``query`` of the result is a place in them.
    """
    known = {query: number for number, query in enumerate(queries.to_pylist())}
    for name, stream in outputs:
        for line in _lines(stream):
            answer = _answer(line)
            if answer is None or answer[0] not in known:
                report.unreadable += 1
                log.error("%s holds a line about nothing that was asked", name)
                continue
            query, users, error = answer
            if error:
                report.failed += 1
                log.error("Query %d found nobody: %s", known[query] + 1, withhold(error, [query]))
                continue
            report.answered += 1
            yield from _found(known[query], users)


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


def _answer(line: bytes) -> tuple[str, list[str], str] | None:
    """Take a line apart: query, users and error; None when it is no line of a batch segment job."""
    try:
        document = json.loads(line)
        asked: dict[str, Any] = {**document, **document.get("input", {})}
        query = next(str(asked[key]) for key in _KEYS if key in asked)
        output = document.get("output") or {}
        users: list[Any] = next((output[key] for key in _USERS if output.get(key)), [])
    except (ValueError, TypeError, AttributeError, StopIteration):
        return None
    return query, [str(user) for user in users], str(document.get("error") or "")


def _found(query: int, users: list[str]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(users), _ROWS_AT_ONCE):
        block = pa.array(users[start : start + _ROWS_AT_ONCE], pa.string())
        ranks = pa.array(np.arange(start, start + len(block), dtype=np.int32))
        same = pa.array(np.full(len(block), query, np.int32))
        yield pa.RecordBatch.from_arrays([block, same, ranks], schema=FOUND)


def write_found_people(outputs: Iterable[Source], queries: pa.Array, target: Path) -> FoundReport:
    """Write the ids of everybody who was found for anything (``user_id``; somebody may stand there several times)."""
    report = FoundReport()
    only = pa.schema([FOUND.field("user_id")])
    with pq.ParquetWriter(target, only, compression="zstd") as writer:
        for batch in read_found(outputs, queries, report):
            writer.write_batch(batch.select(only.names))
    _check_answered(report)
    return report


def by_segment(segments: Path) -> Join:
    """Give each user the items that the user was found for, best rank first.

    :param segments: Parquet file of ``SEGMENTS``, in the order of the query.
    """

    def join(outputs: Iterable[Source], joining: Joining) -> Spool:
        asked = pq.read_table(segments, schema=SEGMENTS).combine_chunks()
        named = asked["query"].chunk(0).dictionary_encode()
        report, found = FoundReport(), joining.partitions("found", FOUND)
        with found:
            for batch in read_found(outputs, named.dictionary, report):
                found.add(batch)
        _check_answered(report)
        positions = joining.catalogue.positions(asked["item_id"].chunk(0))
        order = np.argsort(named.indices.to_numpy(), kind="stable")
        sizes = np.bincount(named.indices.to_numpy(), minlength=len(named.dictionary))
        return Spool(_FoundLines(found, positions[order], sizes), unreadable=report.unreadable)

    return join


def _check_answered(report: FoundReport) -> None:
    if not report.answered:
        raise FatalError(
            f"The batch segment job found nobody: {report.failed} of its lines failed, {report.unreadable} "
            "are about nothing that was asked. The log says why."
        )


@dataclass(frozen=True)
class _FoundLines:
    """Who was found, as lines.

    :param items: of the first query, then of the second, and so on; as catalogue positions.
    :param sizes: how many items each query has.
    """

    found: Partitions
    items: NDArray[np.int32]
    sizes: NDArray[np.int64]

    def read(self, part: int) -> pa.Table:
        """Make the lists of one partition of users."""
        rows = self.found.read(part).combine_chunks()
        if not rows.num_rows:
            return SPOOLED.empty_table()
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
        return spooled(
            named.dictionary, np.bincount(owner, minlength=people), items, np.full(people, -1, np.int16)
        )


def _without_repeats(
    owners: NDArray[np.int64], items: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Keep each owner's first entry of each item."""
    keys = owners * (int(items.max(initial=0)) + 2) + items + 1
    _, firsts = np.unique(keys, return_index=True)
    firsts.sort()
    return owners[firsts], items[firsts]
