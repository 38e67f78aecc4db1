"""Keep those who are to be forgotten out of a plan: nothing is sent to them, not even a removal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsync.context import StageContext
from recsync.suppression.store import SuppressionStore
from recsync.suppression.suppression_list import PERSON


def without_suppressed(context: StageContext, files: Iterable[Path | None]) -> None:
    """Leave suppressed people out of local Parquet files with a column ``external_id``.

    A removal would make Braze a new profile for somebody who was deleted there, so the last-sent state forgets them.
    """
    suppression = context.store(SuppressionStore).read()
    if not suppression.people:
        return
    for path in filter(None, files):
        filtered = path.with_suffix(".filtered")
        with (
            pq.ParquetFile(path) as file,
            pq.ParquetWriter(filtered, file.schema_arrow, compression="zstd") as writer,
        ):
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                found = suppression.rows(PERSON, table.column("external_id").combine_chunks())
                writer.write_table(table.filter(pa.array(~found)))
        filtered.replace(path)
