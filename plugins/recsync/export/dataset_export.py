"""What one export copies, and where to."""

from __future__ import annotations

from dataclasses import dataclass

from recsync import settings
from recsync.context import StageContext
from recsync.program import DatasetType
from recsync.program.avro import AvroSchema
from recsync.program.intervals import Interval


@dataclass(frozen=True)
class DatasetExport:
    """What one export copies, and where to.

    :param interval: begins at the epoch for a snapshot of everything.
    :param note: why it is exported now, for the report; empty when its own run does it.
    """

    context: StageContext
    kind: DatasetType
    interval: Interval
    key: str
    note: str = ""

    @property
    def full(self) -> bool:
        """Whether it is a snapshot of everything before the interval's end."""
        return self.interval == Interval.until(self.interval.end)

    @property
    def schema(self) -> AvroSchema:
        """Schema of the dataset."""
        return settings.schema(self.context.program, self.kind)

    @property
    def sql(self) -> str:
        """The SQL file, for errors."""
        return self.context.program.sql_file(self.kind.folder)
