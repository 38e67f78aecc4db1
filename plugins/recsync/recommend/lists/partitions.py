"""Rows on the local disk, split by user: what belongs together is read together, and never more than that."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import duckdb
import numpy as np
import pyarrow as pa

# One partition of people is joined, ruled and written at a time; about one row group of the result.
PEOPLE_PER_PARTITION = 100_000
# A partition is one open file while it is written; the usual limit is 1,024 for a process.
MAX_PARTITIONS = 256
# Rows held back before they are split, so that each partition gets more than a few at a time.
_BUFFER_ROWS = 100_000


def partitions_for(people: int, per_partition: int) -> int:
    """Say into how many partitions an audience is split."""
    return min(MAX_PARTITIONS, max(1, -(-people // per_partition)))


class Parts(Protocol):
    """Rows with a ``user_id``, by partition."""

    def read(self, part: int) -> pa.Table:
        """Read one partition."""


class Partitions:
    """Write rows with a ``user_id`` once, then read them by partition.

    The same user is in the same partition of everything that one ``connection`` split into as many ``parts``.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, folder: Path, schema: pa.Schema, parts: int
    ) -> None:
        folder.mkdir(parents=True)
        self._connection, self._schema = connection, schema
        self._paths = [folder / f"{part}.arrow" for part in range(parts)]
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

    def read(self, part: int) -> pa.Table:
        """Read one partition, in the order in which its rows were written."""
        with pa.memory_map(str(self._paths[part])) as source:
            return pa.ipc.open_file(source).read_all()

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting, schema=self._schema)
        self._waiting, self._waiting_rows = [], 0
        if len(self._writers) == 1:
            self._writers[0].write_table(table)
            return
        keys = table.select(["user_id"])
        hashed = self._connection.from_arrow(keys).project(
            f"(hash(user_id) % {len(self._writers)})::USMALLINT"
        )
        (parts,) = hashed.fetchnumpy().values()
        order = np.argsort(parts, kind="stable")
        table = table.combine_chunks().take(pa.array(order))
        ends = np.cumsum(np.bincount(parts, minlength=len(self._writers)))
        start = 0
        for writer, end in zip(self._writers, ends.tolist(), strict=True):
            if end > start:
                writer.write_table(table.slice(start, end - start))
            start = end
