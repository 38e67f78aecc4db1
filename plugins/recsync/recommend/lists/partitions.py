"""Split rows of users by a hash of the user: on the local disk, or into pieces that other tasks read.

The partition of a user depends on the user and on the number of partitions only, so that every task and every release
finds the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsync.storage.hashes import string_hashes

# One partition of people is joined, ruled and written at a time; about one row group of the result.
PEOPLE_PER_PARTITION = 100_000
# A partition is one open file while it is written; the usual limit is 1,024 for a process. Its number is a byte.
MAX_PARTITIONS = 256
# Rows collected before they are split, so that each partition gets more than a few at a time.
_BUFFER_ROWS = 100_000
_FILE_ROWS = 65_536


@dataclass(frozen=True)
class PartitionPlan:
    """How an audience is split into partitions, and these into published files.

    It depends on the number of people and of past lists, never on tasks, threads or memory.

    :param parts: number of partitions.
    :param parts_per_file: partitions that one file holds, in their order; the last file may hold fewer.
    """

    parts: int
    parts_per_file: int

    @classmethod
    def of(
        cls,
        people: int,
        past_lists: int = 0,
        *,
        people_per_file: int,
        people_per_partition: int = PEOPLE_PER_PARTITION,
    ) -> Self:
        """Plan for an audience.

        :param past_lists: number of past runs; their lists of a partition's people are in memory as well.
        """
        per_partition = max(1, min(people_per_partition, people_per_file) // (1 + past_lists // 5))
        parts = min(MAX_PARTITIONS, max(1, -(-people // per_partition)))
        return cls(parts, max(1, people_per_file * parts // max(1, people)))

    @property
    def files(self) -> int:
        """Number of published files."""
        return -(-self.parts // self.parts_per_file)

    def inside(self, files: range) -> range:
        """Return the partitions of some files."""
        return range(files.start * self.parts_per_file, min(self.parts, files.stop * self.parts_per_file))

    def share(self, task: int, tasks: int) -> range:
        """Return the files that one of several tasks builds."""
        return range(self.files * task // tasks, self.files * (task + 1) // tasks)


class Parts(Protocol):
    """Rows with a ``user_id``, by partition."""

    def read(self, part: int) -> pa.Table:
        """Read one partition."""


class Partitions:
    """Write rows with a ``user_id`` once, then read them by partition.

    :param parts: number of partitions.
    :param inside: those that are wanted; rows of others are dropped. None: all.
    """

    def __init__(self, folder: Path, schema: pa.Schema, parts: int, inside: range | None = None) -> None:
        folder.mkdir(parents=True)
        self.schema, self._parts, self._inside = schema, parts, range(parts) if inside is None else inside
        self._paths = [folder / f"{part}.arrow" for part in self._inside]
        self._writers = [pa.ipc.new_file(str(path), schema) for path in self._paths]
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        for writer in self._writers:
            writer.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Write some rows."""
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        if self._waiting_rows >= _BUFFER_ROWS:
            self._flush()

    def fill(self, batches: Iterable[pa.RecordBatch]) -> Self:
        """Write some rows and no others; columns that they lack are NULL."""
        with self:
            for batch in batches:
                known = set(batch.schema.names)
                self.add(
                    pa.RecordBatch.from_arrays(
                        [
                            batch[field.name].cast(field.type)
                            if field.name in known
                            else pa.nulls(batch.num_rows, field.type)
                            for field in self.schema
                        ],
                        schema=self.schema,
                    )
                )
        return self

    def read(self, part: int) -> pa.Table:
        """Read one partition, in the order in which its rows were written."""
        with pa.memory_map(str(self._paths[part - self._inside.start])) as source:
            return pa.ipc.open_file(source).read_all()

    def remove(self) -> None:
        """Delete the rows from the local disk."""
        for path in self._paths:
            path.unlink()

    def write_piece(self, parts: range, target: Path) -> None:
        """Write some partitions to one file, a batch each, for :class:`Pieces`."""
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(str(target), self.schema, options=options) as writer:
            for part in parts:
                batches = self.read(part).combine_chunks().to_batches()
                writer.write_batch(batches[0] if batches else _nothing(self.schema))

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting, schema=self.schema)
        self._waiting, self._waiting_rows = [], 0
        if self._parts == 1:
            self._writers[0].write_table(table)
            return
        table = table.combine_chunks()
        hashes = string_hashes(table["user_id"].combine_chunks())
        # numpy sorts bytes by radix, in a third of the time.
        parts = (hashes % np.uint64(self._parts)).astype(np.uint8)
        ends = np.concatenate([[0], np.cumsum(np.bincount(parts, minlength=self._parts))])
        bounds = ends[self._inside.start : self._inside.stop + 1]
        order = np.argsort(parts, kind="stable")[bounds[0] : bounds[-1]]
        table, starts = table.take(pa.array(order)), (bounds - bounds[0]).tolist()
        for writer, start, end in zip(self._writers, starts, starts[1:], strict=False):
            if end > start:
                writer.write_table(table.slice(start, end - start))


@dataclass(frozen=True)
class Pieces:
    """Rows that several tasks have split, each into a file of the partitions ``inside``.

    :param paths: in the order of the rows.
    """

    paths: Sequence[Path]
    inside: range

    def read(self, part: int) -> pa.Table:
        """Read one partition, in the order of the rows."""
        batches = []
        for path in self.paths:
            with pa.memory_map(str(path)) as source:
                batches.append(pa.ipc.open_file(source).get_batch(part - self.inside.start))
        return pa.Table.from_batches(batches)


def rows_of(files: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    """Read the rows of Parquet files, in their order."""
    for path in files:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(_FILE_ROWS)


def rows_of_share(file: pq.ParquetFile, task: int, tasks: int) -> Iterator[pa.RecordBatch]:
    """Read the row groups of a Parquet file that are the share of one of several tasks.

    :param file: with ``pre_buffer`` the columns of a row group are one read; of several groups at once all would be
        in memory.
    """
    groups = file.num_row_groups
    for group in range(groups * task // tasks, groups * (task + 1) // tasks):
        yield from file.iter_batches(_FILE_ROWS, row_groups=[group])


def _nothing(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
