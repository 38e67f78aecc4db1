"""Compare the rows of objects in DuckDB: the local disk grows with their number, and memory by one byte a row.

Rows are split by hash into parts that DuckDB compares one after another, because its joins fail when a hash table of
theirs is far larger than the memory limit. The hash decides nothing else: rows are compared by their bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, compress
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsync.storage import duck, machine
from recsync.storage.csv_text import cells, records
from recsync.storage.hashes import Hashes, string_hashes

if TYPE_CHECKING:
    import duckdb

# Enough for one thread: measured with 8 million rows, and with rows of 10 KB. More threads need more each.
_MEMORY_LIMIT = "72MB"
_RESTING_LIMIT = "24MB"
_PART_BYTES = 16 * 1024**2
# 2 to this power bits, 16 MB, tell which rows cannot be new: of a snapshot only the others are kept on the disk. Beside
# 10 million rows, 7 % of all others pass.
_FILTER_POWER = 27
_BIT = (1 << np.arange(8)).astype(np.uint8)
_SCHEMA = pa.schema(
    [
        ("part", pa.int32()),
        ("object", pa.int32()),
        ("number", pa.int64()),
        ("key", pa.binary()),
    ]
)
# A row of an object that was imported before has no number. Nothing is committed: a commit waits for the disk.
_TABLES = """
BEGIN;
CREATE TABLE line (part INTEGER, object INTEGER, number BIGINT, key BLOB);
CREATE TABLE kept (number BIGINT)
"""
_NEW = """
INSERT INTO kept
WITH surplus AS (
  SELECT key, count(*) - count(number) AS times FROM line WHERE part = $part
  GROUP BY key HAVING 2 * count(number) > count(*)
)
SELECT number FROM (
  SELECT number, times, row_number() OVER (PARTITION BY key ORDER BY number) AS nth
  FROM line JOIN surplus USING (key) WHERE part = $part AND number IS NOT NULL
) WHERE nth > times
"""
_NEWEST = """
INSERT INTO kept
WITH newest AS (SELECT key, max(object) AS object FROM line WHERE part = $part GROUP BY key)
SELECT number FROM line JOIN newest USING (key, object) WHERE part = $part
"""
_KEPT = "SELECT number - $start AS place FROM kept WHERE number >= $start AND number < $end"


@dataclass(frozen=True)
class RowFile:
    """Rows of one object as CSV with header.

    :param digest: of the bytes.
    """

    path: Path
    rows: int
    size_bytes: int
    digest: str

    @classmethod
    def write(cls, path: Path, blocks: Iterable[bytes], kept: NDArray[np.bool_]) -> RowFile:
        """Copy the header and the kept rows of an object.

        :param blocks: of the object.
        """
        digest, size, place = hashlib.blake2b(digest_size=16), 0, -1  # of the header
        with path.open("wb") as file:
            for rows in records(blocks):
                taken = kept[max(place, 0) : place + len(rows)].tolist()
                if place < 0:
                    taken.insert(0, True)
                text = b"".join(row + b"\n" for row in compress(rows, taken))
                digest.update(text)
                size += file.write(text)
                place += len(rows)
        return cls(path, int(kept.sum()), size, digest.hexdigest())


@dataclass
class RowTable:
    """The rows of objects, in the order in which they were added.

    :param parts: number of parts that are compared one after another.
    """

    database: duckdb.DuckDBPyConnection
    parts: int
    _starts: list[int] = field(default_factory=lambda: [0])
    _filter: NDArray[np.uint8] = field(
        default_factory=lambda: np.zeros(2**_FILTER_POWER // 8, dtype=np.uint8)
    )

    @classmethod
    @contextmanager
    def opened(cls, work: Path, size_bytes: int) -> Generator[RowTable]:
        """Open a table in the work folder for the block.

        :param size_bytes: of all objects that will be added.
        :raises RetriableError: when the local disk has no room.
        """
        machine.check_disk(work, 3 * size_bytes, "comparing rows with those that were imported")
        with duck.modest_allocator(), duck.opened(work, memory_limit=_MEMORY_LIMIT, threads=1) as database:
            database.execute(_TABLES)
            yield cls(database, max(1, ceil(size_bytes / _PART_BYTES)))

    def add(self, blocks: Iterable[bytes], *, id_column: str | None = None) -> None:
        """Add the rows of one object, compared by an id or by all their bytes."""
        found = records(blocks)
        header, *first = next(found, [b""])
        identity = _cell_of(header, id_column) if id_column else None
        number, end = len(self._starts) - 1, self._starts[-1]

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal end
            for rows in chain([first], found):
                keys = pa.array(map(identity, rows) if identity else rows, pa.binary())
                hashes = string_hashes(keys)
                self._remember(hashes)
                columns = {
                    "part": self._part(hashes),
                    "object": pa.repeat(pa.scalar(number, pa.int32()), len(rows)),
                    "number": pa.array(np.arange(end, end + len(rows), dtype=np.int64)),
                    "key": keys,
                }
                end += len(rows)
                yield pa.RecordBatch.from_pydict(columns)

        self._insert(batches())
        self._starts.append(end)

    def keep_new(self, imported: Iterable[Iterable[bytes]]) -> None:
        """Keep the new rows. Of equal rows, the first n are dropped if n such rows were imported before.

        :param imported: the blocks of each object that was imported.
        """

        def batches() -> Iterator[pa.RecordBatch]:
            for blocks in imported:
                found = records(blocks)
                for rows in chain([next(found, [])[1:]], found):  # without the header
                    keys = pa.array(rows, pa.binary())
                    hashes = string_hashes(keys)
                    known = self._may_be_known(hashes)
                    keys, hashes = keys.filter(pa.array(known)), hashes[known]
                    yield pa.RecordBatch.from_pydict(
                        {
                            "part": self._part(hashes),
                            "object": pa.nulls(len(keys), pa.int32()),
                            "number": pa.nulls(len(keys), pa.int64()),
                            "key": keys,
                        }
                    )

        self._insert(batches())
        self._choose(_NEW)

    def keep_newest(self) -> None:
        """Keep the rows whose id does not occur in a later object."""
        self._choose(_NEWEST)

    def kept(self, number: int) -> NDArray[np.bool_]:
        """Return which rows of an object are kept, one byte for each.

        :param number: of the object, from 0.
        """
        start, end = self._starts[number : number + 2]
        kept = np.zeros(end - start, dtype=np.bool_)
        found = self.database.sql(_KEPT, params={"start": start, "end": end})
        for batch in found.to_arrow_reader():
            kept[batch.column("place").to_numpy()] = True
        return kept

    def _insert(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Insert rows; an error of their source is raised as it was."""
        failures: list[BaseException] = []

        def guarded() -> Iterator[pa.RecordBatch]:
            try:
                yield from batches
            except BaseException as error:
                failures.append(error)
                raise

        self.database.register("found", pa.RecordBatchReader.from_batches(_SCHEMA, guarded()))
        try:
            self.database.execute("INSERT INTO line SELECT * FROM found")
        except Exception:
            if failures:
                raise failures[0] from None
            raise
        self.database.unregister("found")
        self._release()

    def _choose(self, query: str) -> None:
        for part in range(self.parts):
            self.database.execute(query, {"part": part})
            self._release()

    def _release(self) -> None:
        """Free the blocks that are on the disk already: DuckDB keeps them in memory up to its limit."""
        self.database.execute(f"SET memory_limit = '{_RESTING_LIMIT}'")
        self.database.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")

    def _part(self, hashes: Hashes) -> pa.Array:
        return pa.array((hashes % np.uint64(self.parts)).astype(np.int32))

    def _remember(self, hashes: Hashes) -> None:
        bits = hashes >> np.uint64(64 - _FILTER_POWER)
        np.bitwise_or.at(self._filter, bits >> np.uint64(3), _BIT[bits & np.uint64(7)])

    def _may_be_known(self, hashes: Hashes) -> NDArray[np.bool_]:
        bits = hashes >> np.uint64(64 - _FILTER_POWER)
        found: NDArray[np.bool_] = (self._filter[bits >> np.uint64(3)] & _BIT[bits & np.uint64(7)]) != 0
        return found


def _cell_of(header: bytes, column: str) -> Callable[[bytes], bytes]:
    place = _cells(header).index(column.encode())
    return lambda row: _cells(row)[place]


def _cells(row: bytes) -> list[bytes]:
    if b'"' not in row:  # needs no decoding, so any bytes will do
        return row.split(b",")
    return [cell.encode() for cell in cells(row.decode())]
