"""Keep sorted hashes on the local disk, so that ids of any number take the same memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsync.storage.duck import local_disk
from recsync.storage.hashes import Hashes, among

_HASH_BYTES = 8
_HASH_BITS = 64
# A file is indexed by the first bits of its hashes: an index of 2 KB, or of 512 KB for a large file. Of 20 million
# hashes, each range of the large index has 300.
_INDEX_BITS, _LARGE_INDEX_BITS = 8, 16
_LARGE = 1_000_000
# Hashes read at a time: 8 MB.
_PIECE = 1_000_000
# Files merged at a time.
_OPEN_FILES = 64
# Below this share of a file, hashes are looked up range by range.
_FEW = 1 / 256


class HashFile:
    """Distinct hashes in ascending order, 8 bytes each.

    :param path: an existing file of such hashes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = path.stat().st_size // _HASH_BYTES
        bits = _LARGE_INDEX_BITS if self.count > _LARGE else _INDEX_BITS
        self._shift = np.uint64(_HASH_BITS - bits)
        self._file = path.open("rb", buffering=0)
        sizes = np.zeros(1 << bits, dtype=np.int64)
        for start in range(0, self.count, _PIECE):
            ranges = self._at(start, min(start + _PIECE, self.count)) >> self._shift
            sizes += np.bincount(ranges.astype(np.int64), minlength=len(sizes))
        # Start of each range in the file, counted in hashes.
        self._bounds = np.concatenate([[0], np.cumsum(sizes)])

    @classmethod
    def write(cls, path: Path, parts: Iterable[Hashes]) -> HashFile:
        """Write a file.

        :param parts: ascending, within each part and from part to part.
        """
        with local_disk(path.parent), path.open("wb") as file:
            for part in parts:
                file.write(part.astype("<u8", copy=False).data)
        return cls(path)

    @classmethod
    def merged(cls, path: Path, files: Sequence[HashFile]) -> HashFile:
        """Write the hashes that are in any of some files."""
        return cls.write(path, _merged(files))

    def among(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Return which hashes are in the file."""
        found = np.zeros(len(hashes), dtype=np.bool_)
        if not len(hashes) or not self.count:
            return found
        if len(hashes) < self.count * _FEW:
            order = np.argsort(hashes)
            ranges = (hashes[order] >> self._shift).astype(np.int64)
            groups = np.split(order, np.flatnonzero(np.diff(ranges)) + 1)
            for rows in groups:
                found[rows] = among(self._within(hashes[rows[0]], hashes[rows[0]]), hashes[rows])
            return found
        start, end = self._span(hashes.min(), hashes.max())
        for first in range(start, end, _PIECE):
            found |= among(self._at(first, min(first + _PIECE, end)), hashes)
        return found

    def slices(self) -> Iterator[Hashes]:
        """Yield the hashes in 256 ascending parts, by their first byte."""
        last_bits = np.uint64((1 << _HASH_BITS - _INDEX_BITS) - 1)
        for byte in range(1 << _INDEX_BITS):
            first = np.uint64(byte << _HASH_BITS - _INDEX_BITS)
            yield self._within(first, first | last_bits)

    def close(self) -> None:
        self._file.close()

    def _within(self, first: np.uint64, last: np.uint64) -> Hashes:
        return self._at(*self._span(first, last))

    def _span(self, first: np.uint64, last: np.uint64) -> tuple[int, int]:
        return int(self._bounds[int(first >> self._shift)]), int(self._bounds[int(last >> self._shift) + 1])

    def _at(self, start: int, end: int) -> Hashes:
        hashes = np.empty(end - start, dtype="<u8")
        if len(hashes):
            os.preadv(self._file.fileno(), [hashes.data], start * _HASH_BYTES)
        return hashes


def _merged(files: Sequence[HashFile]) -> Iterator[Hashes]:
    for parts in zip(*(file.slices() for file in files), strict=True):
        # np.unique would hash, which takes 8 times as long here.
        hashes = np.sort(np.concatenate(parts))
        yield hashes[np.concatenate([[True], hashes[1:] != hashes[:-1]])] if len(hashes) else hashes


class IdSet:
    """A set of hashed ids, in memory up to half a million ids and on disk beyond.

    Ids on disk are in at most 8 sorted files. A Bloom filter of 32 MB recognises nearly all new ids without reading
    them; the other ids are looked up exactly.

    :param folder: an existing folder for the files.
    """

    # Attributes, so that a test can have small files.
    in_memory = 1 << 19
    filter_words = 1 << 22
    most_files = 8

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Sorted runs, each larger than the next.
        self._runs: list[Hashes] = []
        self._files: list[HashFile] = []
        self._written = 0
        self._filter: NDArray[np.uint64] | None = None
        self.count = 0

    def repeated(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Return which rows repeat an id of these rows or of the set."""
        repeated = np.ones(len(hashes), dtype=np.bool_)
        repeated[np.unique(hashes, return_index=True)[1]] = False
        for run in self._runs:
            repeated |= among(run, hashes)
        if self._filter is not None:
            places, bits = self._filter_bits(hashes)
            maybe = np.flatnonzero((self._filter[places] & bits) == bits)
            for file in self._files:
                repeated[maybe] |= file.among(hashes[maybe])
        return repeated

    def add(self, hashes: Hashes) -> None:
        """Add new ids."""
        self.count += len(hashes)
        run = np.sort(hashes)
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        self._runs.append(run)
        if sum(map(len, self._runs)) > self.in_memory:
            self._spill()

    def write(self, path: Path) -> HashFile:
        """Write all ids to a file."""
        if not self._files:
            return HashFile.write(path, [self._sorted()])
        self._spill()
        return HashFile.merged(path, self._files)

    def _sorted(self) -> Hashes:
        return np.sort(np.concatenate([np.empty(0, dtype=np.uint64), *self._runs]))

    def _spill(self) -> None:
        hashes = self._sorted()
        self._runs = []
        if self._filter is None:
            self._filter = np.zeros(self.filter_words, dtype=np.uint64)
        places, bits = self._filter_bits(hashes)
        np.bitwise_or.at(self._filter, places, bits)
        self._files.append(HashFile.write(self._next_path(), [hashes]))
        if len(self._files) > self.most_files:
            merged = HashFile.merged(self._next_path(), self._files)
            for file in self._files:
                file.close()
                file.path.unlink()
            self._files = [merged]

    def _next_path(self) -> Path:
        self._written += 1
        return self._folder / f"ids-{self._written}.hashes"

    def _filter_bits(self, hashes: Hashes) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return the word of each hash in the filter, and its three bits in that word."""
        bits = np.zeros(len(hashes), dtype=np.uint64)
        for shift in (0, 6, 12):
            bits |= np.uint64(1) << ((hashes >> np.uint64(shift)) & np.uint64(63))
        return ((hashes >> np.uint64(18)) % np.uint64(self.filter_words)).astype(np.int64), bits


def union(path: Path, parts: Sequence[Path]) -> HashFile:
    """Write the hashes that are in any of some files of sorted hashes, and delete those files."""
    if len(parts) == 1:
        return HashFile(parts[0].rename(path))
    if len(parts) > _OPEN_FILES:
        # A month of hours has more files than a process may usually open.
        first = union(path.with_name(f"{path.name}.{len(parts)}.union"), parts[:_OPEN_FILES])
        first.close()
        return union(path, [first.path, *parts[_OPEN_FILES:]])
    with ExitStack() as opened:
        files = [HashFile(part) for part in parts]
        for file in files:
            opened.callback(file.close)
        merged = HashFile.merged(path, files)
    for part in parts:
        part.unlink()
    return merged
