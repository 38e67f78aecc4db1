"""Export one dataset: rows of the warehouse stream through the checks into one object, whole or not at all."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from recsync.context import StageContext
from recsync.export.checking import checking
from recsync.export.dataset_export import DatasetExport
from recsync.export.store import ExportedObject
from recsync.program import DatasetType
from recsync.program.intervals import Interval
from recsync.storage.byte_stream import ByteStream
from recsync.storage.csv_text import cut_records
from recsync.storage.object_writer import object_writer
from recsync.suppression.csv_rows import without_suppressed
from recsync.suppression.store import SuppressionStore
from recsync.warehouse.hooks import UnloadingWarehouse, Warehouse
from recsync.warehouse.hooks.unload import Unload
from recsync.warehouse.program_sql import export_query, is_ordered

log = logging.getLogger(__name__)

_PROGRESS_SECONDS = 30


def export_dataset(
    context: StageContext,
    kind: DatasetType,
    interval: Interval,
    key: str,
    *,
    unloaded: Unload | None = None,
    note: str = "",
) -> ExportedObject:
    """Copy the rows of one dataset and interval to ``key``, checking every one on its way.

    Rows that break a rule are left out and kept in a quarantine object; a report says what was found.

    :param unloaded: what the warehouse unloaded already; None queries it now.
    :param note: why it is exported now, for the report.
    :raises FatalError: when a check says stop; the object is not written then, the report is.
    """
    export = DatasetExport(context, kind, interval, key, note)
    source = context.warehouse()
    with _opened(export, source, unloaded) as stream, TemporaryDirectory(prefix="recsync-") as folder:
        checks = checking(export, Path(folder))
        suppression = context.store(SuppressionStore).read()
        with object_writer(context.bucket, key) as target:
            target.write(",".join(export.schema.columns).encode() + b"\n")
            for block in _with_progress(cut_records(stream), export):
                kept = without_suppressed(block, export.schema.columns, suppression)
                target.write(checks.block(kept))
            figures = checks.finish()
    exported = ExportedObject(
        key=key,
        rows=figures.rows,
        size_bytes=target.size_bytes,
        digest=figures.digest,
        etag=target.etag,
        quarantined=figures.quarantined,
    )
    uri = context.bucket.uri(key)
    log.info("Exported %d rows (%d bytes) of %s to %s", exported.rows, exported.size_bytes, export.sql, uri)
    return exported


def start_unload(context: StageContext, kind: DatasetType, interval: Interval, key: str) -> Unload | None:
    """Let the warehouse write the rows to S3 by itself; None when it is one that is read from here."""
    source = context.warehouse()
    if not isinstance(source, UnloadingWarehouse):
        return None
    return _unload(DatasetExport(context, kind, interval, key), source)


@contextmanager
def _opened(export: DatasetExport, source: Warehouse, unloaded: Unload | None) -> Generator[ByteStream]:
    if isinstance(source, UnloadingWarehouse):
        with source.open_unloaded(unloaded or _unload(export, source), name=export.sql) as stream:
            yield stream
    else:
        with source.open_csv(_query(export, source), name=export.sql) as stream:
            yield stream


def _query(export: DatasetExport, source: Warehouse) -> str:
    return export_query(export.context.program, export.kind, export.interval, export.schema, source)


def _unload(export: DatasetExport, source: UnloadingWarehouse) -> Unload:
    staging = export.context.bucket.uri(export.context.keys.companion(export.key, "staging", "/"))
    ordered = is_ordered(export.kind, export.interval)
    return source.start_unload(_query(export, source), uri=staging, name=export.sql, ordered=ordered)


def _with_progress(blocks: Iterator[bytes], export: DatasetExport) -> Iterator[bytes]:
    """Say now and then how far it is."""
    told, size = time.monotonic(), 0
    for block in blocks:
        yield block
        size += len(block)
        if time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            log.info("%s: %d MB read so far", export.sql, size // 1_000_000)
