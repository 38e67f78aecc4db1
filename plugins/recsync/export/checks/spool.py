"""Count equal hashes among any number of rows in memory that stays the same: what is too much lies on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsync.storage.hashes import Hashes
from recsync.storage.local_disk import local_disk

Counts = NDArray[np.int64]

# As many hashes are held before they are written: 2 MB.
_HELD = 256 * 1024
# As many, about, are counted at a time: few enough for the processor's cache.
_COUNTED = 32 * 1024
_BUCKETS = 256
_BUCKET_SHIFT = np.uint64(56)
_HASH_BYTES = 8


@dataclass(frozen=True)
class Partition:
    """How the rows of one block fall into buckets.

    :param order: the rows, bucket by bucket.
    :param bounds: where each bucket begins in that order; shape (buckets + 1).
    """

    order: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, hashes: Hashes) -> Partition:
        """Let the first byte of a hash choose its bucket."""
        buckets = (hashes >> _BUCKET_SHIFT).astype(np.uint8)
        bounds = np.zeros(_BUCKETS + 1, dtype=np.int64)
        np.cumsum(np.bincount(buckets, minlength=_BUCKETS), out=bounds[1:])
        # numpy sorts small integers by radix, in linear time.
        return cls(np.argsort(buckets, kind="stable"), bounds)


class HashSpool:
    """Hashes of rows; equal ones are counted at the end.

    :param path: a file that need not exist; small exports never reach it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: list[tuple[Hashes, NDArray[np.int64]]] = []
        self._size = 0
        self._written = 0
        # Per batch written: where each bucket begins in the file, counted in hashes; shape (batches, buckets + 1).
        self._batches: list[NDArray[np.int64]] = []

    def add(self, hashes: Hashes, partition: Partition) -> None:
        """Take the hashes of a block's rows.

        :param partition: puts equal hashes into the same bucket; any that does so will do.
        """
        self._held.append((hashes[partition.order], partition.bounds))
        self._size += len(hashes)
        if self._size >= _HELD:
            self._spill()

    def groups(self) -> Iterator[tuple[Hashes, Counts]]:
        """Give every distinct hash and how often it came, in parts.

        No hash is in two parts; within one the order is any.
        """
        if not self._batches:
            if self._held:
                yield counted(np.concatenate([hashes for hashes, _ in self._held]))
            return
        if self._held:
            self._spill()
        with local_disk(self._path.parent), self._path.open("rb") as file:
            for first, last in self._parts():
                yield counted(self._read(file.fileno(), first, last))

    def _spill(self) -> None:
        """Write what is held, bucket by bucket."""
        pieces = [
            hashes[bounds[bucket] : bounds[bucket + 1]]
            for bucket in range(_BUCKETS)
            for hashes, bounds in self._held
        ]
        with local_disk(self._path.parent), self._path.open("ab") as file:
            file.write(np.concatenate(pieces).astype("<u8", copy=False).data)
        self._batches.append(self._written + np.sum([bounds for _, bounds in self._held], axis=0))
        self._written += self._size
        self._held, self._size = [], 0

    def _parts(self) -> Iterator[tuple[int, int]]:
        """Give ranges of buckets that together hold about as much as is counted at a time."""
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


def counted(hashes: Hashes) -> tuple[Hashes, Counts]:
    """Give the distinct hashes and how often each comes; the order is any.

    Two passes of numpy's radix sort over 16 bits each bring equal hashes together at a third of the cost of a full
    sort. Different hashes that agree in these 32 bits are rare; only they are sorted in full.
    """
    if not len(hashes):
        return hashes, np.empty(0, dtype=np.int64)
    for bits in (0, 16):
        keys = (hashes >> np.uint64(bits)).astype(np.uint16)
        hashes = hashes[np.argsort(keys, kind="stable")]
    low = hashes.astype(np.uint32)
    changes = hashes[1:] != hashes[:-1]
    entangled = changes & (low[1:] == low[:-1])
    if entangled.any():
        members = np.isin(low, np.unique(low[1:][entangled]))
        # Turned by half, so that the order of the 32 bits stays what it is.
        turned = np.sort((hashes[members] << np.uint64(32)) | (hashes[members] >> np.uint64(32)))
        hashes[members] = (turned << np.uint64(32)) | (turned >> np.uint64(32))
        changes = hashes[1:] != hashes[:-1]
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    return hashes[starts], np.diff(np.append(starts, len(hashes)))
