"""The tables of a program as pandas frames: in a notebook, with AWS credentials and a bucket, or inside Airflow.

::

    from recsync import frames

    sent = frames.accounts("grocery", since="2026-11-01", until="2026-11-30")

Needs no Airflow. The bucket is ``AIRFLOW__RECSYNC__BUCKET`` or the argument ``bucket``; the credentials are those of
``AIRFLOW_CONN_AWS_DEFAULT`` (JSON) where it is set, else boto3's own. In a task of Airflow, give
``bucket=StageContext.of("grocery").bucket``, which has the connection of the program.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsync.errors import FatalError
from recsync.storage.aws import aws_client
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys
from recsync.tables.schema import DATE, TABLES, arrow_schema
from recsync.tables.store import TableObject, TableStore

if TYPE_CHECKING:
    import pandas as pd

_VARIABLE = "AIRFLOW__RECSYNC__BUCKET"
_THREADS = 8


@dataclass(frozen=True)
class Frames:
    """The tables of one program."""

    program: str
    bucket: Bucket

    @classmethod
    def of(cls, program: str, bucket: Bucket | str | None = None) -> Frames:
        """Open the tables of a program.

        :param bucket: the bucket or its name; None: AIRFLOW__RECSYNC__BUCKET.
        :raises FatalError: when no bucket is given.
        """
        name = bucket or os.environ.get(_VARIABLE)
        if not name:
            raise FatalError(f"Which bucket? Give bucket=…, or set {_VARIABLE}.")
        return cls(program, name if isinstance(name, Bucket) else Bucket(aws_client("s3"), name))

    def read(
        self,
        table: str,
        *,
        since: date | str | None = None,
        until: date | str | None = None,
        user_id: str | None = None,
        external_id: str | None = None,
    ) -> pd.DataFrame:
        """Read a table; without an object, the frame is empty.

        :param table: a key of ``TABLES``.
        :param since: first day of the partitions, ``until``: the last one; None: all.
        :param user_id: only rows of this person; other parts of the objects are not downloaded.
        :param external_id: the same, by the id in Braze.
        :raises FatalError: when the table has no such column.
        """
        found = TABLES[table]
        wanted = {"user_id": user_id, "external_id": external_id}
        filters = [(name, "=", value) for name, value in wanted.items() if value is not None]
        if missing := [name for name, _, _ in filters if name not in found.names]:
            raise FatalError(f"The table {table} has no column {missing[0]}.")
        store = TableStore(self.bucket, Keys(self.program))
        objects = store.objects(found, since=_day(since), until=_day(until))
        schema = arrow_schema(found)
        with ThreadPoolExecutor(_THREADS) as threads:
            parts = list(threads.map(partial(self._read, schema=schema, filters=filters or None), objects))
        whole = pa.concat_tables([schema.append(pa.field(DATE, pa.date32())).empty_table(), *parts])
        return whole.to_pandas(date_as_object=False)

    def _read(self, found: TableObject, *, schema: pa.Schema, filters: Any) -> pa.Table:
        stream = self.bucket.open(found.key)
        if stream is None:  # removed since the listing
            table = schema.empty_table()
        else:
            with stream:
                table = pq.read_table(stream, filters=filters, partitioning=None)
        # Columns that were added since the object was written are null.
        columns = [
            table[field.name].cast(field.type)
            if field.name in table.column_names
            else pa.nulls(len(table), field.type)
            for field in schema
        ]
        day = pa.array([found.day], pa.date32()).take(pa.array([0] * len(table), pa.int32()))
        return pa.table([*columns, day], schema=schema.append(pa.field(DATE, pa.date32())))


def _day(value: date | str | None) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else value


def read(table: str, program: str, *, bucket: Bucket | str | None = None, **where: Any) -> pd.DataFrame:
    """Read a table of a program; the further arguments are those of :meth:`Frames.read`."""
    return Frames.of(program, bucket).read(table, **where)


accounts = partial(read, "accounts")
lists = partial(read, "lists")
deliveries = partial(read, "deliveries")
versions = partial(read, "versions")
costs = partial(read, "costs")
experiments = partial(read, "experiments")
outcomes = partial(read, "outcomes")
