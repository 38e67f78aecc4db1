"""Cut the open writes of a plan into calls."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsync.push.ledger import Status
from recsync.push.schemas import PARTS

# Rows decoded at a time: a few milliseconds of work, a few megabytes of objects.
_CHUNK_ROWS = 15_000


@dataclass(frozen=True)
class Batch:
    """The objects of one call.

    :param rows: of the plan, ascending.
    :param objects: rendered JSON objects, one per row.
    """

    rows: tuple[int, ...]
    objects: tuple[bytes, ...]

    def halves(self) -> tuple[Batch, Batch]:
        """Split in two."""
        middle = len(self.rows) // 2
        first = Batch(self.rows[:middle], self.objects[:middle])
        return first, Batch(self.rows[middle:], self.objects[middle:])

    def without(self, indices: Collection[int]) -> Batch:
        """Leave out some objects, by their position."""
        return self.only([i for i in range(len(self.rows)) if i not in indices])

    def only(self, indices: Sequence[int]) -> Batch:
        """Keep some objects, by their position."""
        return Batch(tuple(self.rows[i] for i in indices), tuple(self.objects[i] for i in indices))


def open_batches(
    folder: Path, is_open: NDArray[np.bool_], parts: tuple[str, ...], *, max_objects: int, max_bytes: int
) -> Iterator[Batch]:
    """Cut the open rows of some parts into calls, in the plan's order.

    :param folder: the plan's files.
    :param is_open: one per row of the whole plan.
    :param parts: of ``PARTS``, in their order.
    :param max_bytes: of all objects of one call.
    """
    first = 0
    for part in PARTS:
        with pq.ParquetFile(folder / "writes" / f"{part}.parquet") as file:
            if part in parts:
                yield from _cut(file, first, is_open, max_objects, max_bytes)
            first += file.metadata.num_rows


def _cut(
    file: pq.ParquetFile, first: int, is_open: NDArray[np.bool_], max_objects: int, max_bytes: int
) -> Iterator[Batch]:
    for table in file.iter_batches(_CHUNK_ROWS, columns=["object"]):
        here = is_open[first : first + len(table)]
        rows = (np.flatnonzero(here) + first).tolist()
        objects = table.column("object").to_pylist()
        if not here.all():
            objects = [objects[row - first] for row in rows]
        yield from _by_size(rows, objects, max_objects, max_bytes)
        first += len(table)


def _by_size(rows: list[int], objects: list[bytes], max_objects: int, max_bytes: int) -> Iterator[Batch]:
    start = 0
    while start < len(rows):
        end = min(start + max_objects, len(rows))
        while end - start > 1 and sum(map(len, objects[start:end])) + end - start > max_bytes:
            end = start + (end - start) // 2
        yield Batch(tuple(rows[start:end]), tuple(objects[start:end]))
        start = end


def taken_lists(
    folder: Path, statuses: NDArray[np.int8], parts: tuple[str, ...]
) -> Iterator[tuple[list[int], list[str]]]:
    """Return rows and external ids of those whose list Braze took, some thousands at a time.

    :param folder: the plan's files.
    :param statuses: one per row of the whole plan.
    """
    first = 0
    for part in PARTS:
        with pq.ParquetFile(folder / "writes" / f"{part}.parquet") as file:
            start, first = first, first + file.metadata.num_rows
            if part not in parts:
                continue
            for table in file.iter_batches(_CHUNK_ROWS, columns=["external_id", "removal"]):
                rows = np.arange(start, start + len(table))
                start += len(table)
                removal = table.column("removal").to_numpy(zero_copy_only=False)
                chosen = np.flatnonzero((statuses[rows] == Status.TAKEN) & ~removal)
                ids: list[str] = table.column("external_id").take(pa.array(chosen)).to_pylist()
                if ids:
                    yield rows[chosen].tolist(), ids
