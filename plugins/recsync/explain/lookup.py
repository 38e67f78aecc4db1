"""Find the rows of one person in Parquet objects on S3 without reading all of them.

Row groups with statistics that exclude the value are skipped. Of the others only the column of ids is read; the other
columns are read only in the person's row group.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.storage.bucket import Bucket


@dataclass(frozen=True)
class Found:
    """A row.

    :param group: its row group.
    """

    group: int
    values: dict[str, Any]


@dataclass(frozen=True)
class ParquetObject:
    """A Parquet object that is read in parts."""

    file: pq.ParquetFile

    @classmethod
    @contextmanager
    def opened(cls, bucket: Bucket, key: str) -> Generator[ParquetObject | None]:
        """Open an object for the block; yield None when it is missing."""
        stream = bucket.open(key)
        if stream is None:
            yield None
            return
        with stream, pq.ParquetFile(stream, pre_buffer=True) as file:
            yield cls(file)

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """The key-value metadata."""
        return dict(self.file.metadata.metadata or {})

    def find(self, column: str, value: str, columns: Sequence[str], near: Found | None = None) -> list[Found]:
        """Return the rows with a value.

        :param columns: the columns to return; missing ones are ignored.
        :param near: the person's row in an object with the same order of rows: its row group is read first.
        """
        if (
            near
            and near.group < self.file.num_row_groups
            and (rows := self._rows(near.group, column, value, columns))
        ):
            return rows
        groups = (group for group in range(self.file.num_row_groups) if self._may_hold(group, column, value))
        return [row for group in groups for row in self._rows(group, column, value, columns)]

    def _may_hold(self, group: int, column: str, value: str) -> bool:
        index = self.file.schema_arrow.names.index(column)
        statistics = self.file.metadata.row_group(group).column(index).statistics
        if statistics is None or not statistics.has_min_max:
            return True
        return bool(statistics.min <= value <= statistics.max)

    def _rows(self, group: int, column: str, value: str, columns: Sequence[str]) -> list[Found]:
        ids = self.file.read_row_group(group, [column])[column]
        places = pc.indices_nonzero(pc.equal(ids, value)).to_pylist()
        if not places:
            return []
        known = [name for name in columns if name in self.file.schema_arrow.names]
        rows = self.file.read_row_group(group, known).take(pa.array(places)).to_pylist()
        return [Found(group, row) for row in rows]
