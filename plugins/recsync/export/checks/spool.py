"""Count ids and equal rows by their hashes, in constant memory.

DuckDB's GROUP BY over 20 million rows on disk takes 3.4 times as long as the spool and 5 times its memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsync.storage.duck import local_disk
from recsync.storage.hash_files import HashFile
from recsync.storage.hashes import Hashes, among, string_hashes

Counts = NDArray[np.int64]

# What programs write for a missing value, in lower case.
MISSING_WORDS = frozenset({
    "none", "null", "(null)", "nan", "nat", "<na>", "n/a", "#n/a", "nil", "undefined", "\\n",
})  # fmt: skip
_SPELLINGS = sorted(
    {*MISSING_WORDS, *map(str.upper, MISSING_WORDS), *map(str.capitalize, MISSING_WORDS), "NaN", "NaT"}
)
# Not pa.array: it imports pandas, 25 MB, and Arrow's own allocator, once used, keeps 4 MB.
_ENDS = np.cumsum([0, *map(len, _SPELLINGS)], dtype=np.int32)
NULL_WORD_HASHES: Hashes = np.sort(
    string_hashes(
        pa.StringArray.from_buffers(
            len(_SPELLINGS), pa.py_buffer(_ENDS), pa.py_buffer("".join(_SPELLINGS).encode())
        )
    )
)

# Number of hashes that are buffered before they are written: 2 MB.
_BUFFERED = 256 * 1024
# Approximate number that is counted at a time: fits into the processor's cache.
_COUNTED = 32 * 1024
_BUCKETS = 256
_BUCKET_SHIFT = np.uint64(56)
_HASH_BYTES = 8
# The smallest number of rows in each bar of the history plot; the last bar is open.
_FROM = np.array([1, 2, 3, 6, 11, 21, 51, 101, 201, 501, 1001])


@dataclass(frozen=True)
class Buckets:
    """The rows of one block by bucket.

    :param order: indexes of the rows, bucket by bucket.
    :param bounds: start of each bucket in that order; shape (buckets + 1).
    """

    order: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, hashes: Hashes) -> Buckets:
        """Take the first byte of each hash as its bucket."""
        buckets = (hashes >> _BUCKET_SHIFT).astype(np.uint8)
        bounds = np.zeros(_BUCKETS + 1, dtype=np.int64)
        np.cumsum(np.bincount(buckets, minlength=_BUCKETS), out=bounds[1:])
        # numpy sorts small integers by radix, in linear time.
        return cls(np.argsort(buckets, kind="stable"), bounds)


class HashSpool:
    """Hashes of rows, buffered and then spilled to a file; equal ones are counted at the end.

    :param path: the file, written only when the buffer is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffered: list[tuple[Hashes, NDArray[np.int64]]] = []
        self._size = 0
        self._written = 0
        # Per spilled batch: start of each bucket in the file, counted in hashes; shape (batches, buckets + 1).
        self._batches: list[NDArray[np.int64]] = []

    def add(self, hashes: Hashes, partition: Buckets) -> None:
        """Add the hashes of a block's rows.

        :param partition: any buckets that have equal hashes in the same bucket.
        """
        self._buffered.append((hashes[partition.order], partition.bounds))
        self._size += len(hashes)
        if self._size >= _BUFFERED:
            self._spill()

    def groups(self) -> Iterator[tuple[Hashes, Counts]]:
        """Yield the distinct hashes and their counts in parts.

        Hashes ascend, within each part and from part to part.
        """
        if not self._batches:
            if self._buffered:
                yield count_hashes(np.concatenate([hashes for hashes, _ in self._buffered]))
            return
        if self._buffered:
            self._spill()
        with local_disk(self._path.parent), self._path.open("rb") as file:
            for first, last in self._parts():
                yield count_hashes(self._read(file.fileno(), first, last))

    def _spill(self) -> None:
        """Write the buffer, bucket by bucket."""
        pieces = [
            hashes[bounds[bucket] : bounds[bucket + 1]]
            for bucket in range(_BUCKETS)
            for hashes, bounds in self._buffered
        ]
        with local_disk(self._path.parent), self._path.open("ab") as file:
            file.write(np.concatenate(pieces).astype("<u8", copy=False).data)
        self._batches.append(self._written + np.sum([bounds for _, bounds in self._buffered], axis=0))
        self._written += self._size
        self._buffered, self._size = [], 0

    def _parts(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of buckets with about as many hashes as are counted at a time."""
        sizes = np.sum([np.diff(bounds) for bounds in self._batches], axis=0).tolist()
        first, size = 0, 0
        for bucket in range(_BUCKETS):
            if size and size + sizes[bucket] > _COUNTED:
                yield first, bucket
                first, size = bucket, 0
            size += sizes[bucket]
        yield first, _BUCKETS

    def _read(self, file: int, first: int, last: int) -> Hashes:
        spans = [(int(bounds[first]), int(bounds[last])) for bounds in self._batches]
        hashes = np.empty(sum(end - start for start, end in spans), dtype="<u8")
        place = 0
        for start, end in spans:
            target = hashes[place : place + end - start]
            os.preadv(file, [target.data], start * _HASH_BYTES)
            place += end - start
        return hashes


def count_hashes(hashes: Hashes) -> tuple[Hashes, Counts]:
    """Return the distinct hashes in ascending order, and their counts; sort the given array.

    numpy sorts 64-bit numbers with vector instructions (AVX2, AVX-512, NEON): faster than bringing only equal hashes
    together by two passes of its radix sort, which is for 16-bit numbers.
    """
    if not len(hashes):
        return hashes, np.empty(0, dtype=np.int64)
    hashes.sort()
    changes = hashes[1:] != hashes[:-1]
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    return hashes[starts], np.diff(np.append(starts, len(hashes)))


@dataclass(frozen=True)
class IdFigures:
    """Counts of ids and of their rows.

    :param with_two: ids with 2 rows or more.
    :param unknown_rows: rows with an id that is not in the other dataset; None without its hashes.
    :param new: ids that are not in the last FULL; None without hashes of that.
    :param null_rows: rows with an id that means "missing", such as "null".
    :param history: number of ids by their number of rows.
    """

    distinct: int
    with_two: int
    unknown_rows: int | None
    new: int | None
    null_rows: int
    history: list[dict[str, Any]]


def id_figures(
    groups: Iterable[tuple[Hashes, Counts]],
    known: HashFile | None,
    before: HashFile | None = None,
    kept: Path | None = None,
) -> IdFigures:
    """Count ids.

    :param groups: distinct hashes and the number of their rows, in ascending parts.
    :param known: the ids of another dataset.
    :param before: the ids that are not new.
    :param kept: file to write the hashes of all ids to, sorted.
    """
    distinct = with_two = unknown = new = largest = null_rows = 0
    bars = np.zeros(len(_FROM), dtype=np.int64)
    for hashes, counts in groups if kept is None else _written(groups, kept):
        distinct += len(hashes)
        with_two += int((counts > 1).sum())
        largest = max(largest, int(counts.max(initial=0)))
        bars += np.bincount(np.searchsorted(_FROM, counts, side="right") - 1, minlength=len(_FROM))
        null_rows += int(counts[among(NULL_WORD_HASHES, hashes)].sum())
        if known is not None:
            unknown += int(counts[~known.among(hashes)].sum())
        if before is not None:
            new += int((~before.among(hashes)).sum())
    last = [*(_FROM[1:] - 1).tolist(), largest]
    return IdFigures(
        distinct=distinct,
        with_two=with_two,
        unknown_rows=None if known is None else unknown,
        new=None if before is None else new,
        null_rows=null_rows,
        history=[
            {"from": first, "to": to, "users": count}
            for first, to, count in zip(_FROM.tolist(), last, bars.tolist(), strict=True)
            if count
        ],
    )


def _written(groups: Iterable[tuple[Hashes, Counts]], path: Path) -> Iterator[tuple[Hashes, Counts]]:
    with local_disk(path.parent), path.open("wb") as file:
        for hashes, counts in groups:
            file.write(hashes.astype("<u8", copy=False).data)
            yield hashes, counts
