"""The objects of the tables on S3: ``<program>/tables/<table>/date=YYYY-MM-DD/<object>.parquet``.

An object is named after its delivery, run or day, so a repeated run replaces it. Uploads are atomic: readers never see
half an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.tables.schema import TableSchema

_SUFFIX = ".parquet"


@dataclass(frozen=True)
class TableObject:
    """One object of a table.

    :param modified: when it was last written.
    """

    key: str
    day: date
    name: str
    modified: datetime


@dataclass(frozen=True)
class TableStore:
    """The tables of one program."""

    bucket: Bucket
    keys: Keys

    def put(self, table: TableSchema, day: date, name: str, path: Path) -> None:
        """Write one object; it replaces an earlier one of the same name."""
        self.bucket.upload(self.keys.table_object(table.name, day.isoformat(), name), path)

    def objects(
        self, table: TableSchema, *, since: date | None = None, until: date | None = None
    ) -> list[TableObject]:
        """List the objects of a table, oldest partition first.

        :param since: first day; None: from the beginning.
        :param until: last day; None: to the end.
        """
        folder = self.keys.table(table.name)
        # Keys sort by day, so a listing can begin in the middle.
        after = f"{folder}date={since.isoformat()}" if since else ""
        found = []
        for entry in self.bucket.listed(folder, after=after):
            partition, _, name = entry["Key"].removeprefix(folder).partition("/")
            day = date.fromisoformat(partition.removeprefix("date="))
            if until and day > until:
                break
            if name.endswith(_SUFFIX):
                found.append(
                    TableObject(entry["Key"], day, name.removesuffix(_SUFFIX), entry["LastModified"])
                )
        return found
