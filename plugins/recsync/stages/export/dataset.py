"""Export one dataset: rows of the warehouse stream through the checks into one object, whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsync import settings
from recsync.core.avro import AvroSchema
from recsync.core.byte_stream import ByteStream
from recsync.core.checks import CheckContext, Report, RowChecks
from recsync.core.csv_text.blocks import cut_records
from recsync.core.csv_text.dialect import to_personalize
from recsync.core.intervals import Interval
from recsync.core.program import DatasetType
from recsync.core.report_page import page
from recsync.errors import FatalError
from recsync.hooks.warehouse import UnloadingWarehouse, Warehouse, warehouse
from recsync.hooks.warehouse.unload import Unload
from recsync.stages.context import StageContext
from recsync.stages.export.check_inputs import history_of, known_ids, known_items
from recsync.stages.queries import export_query, is_ordered
from recsync.stores.exports import ExportedObject
from recsync.stores.object_writer import ObjectWriter, object_writer

log = logging.getLogger(__name__)

_PROGRESS_SECONDS = 30


@dataclass(frozen=True)
class DatasetExport:
    """What one export copies, and where to.

    :param interval: begins at the epoch for a snapshot of everything.
    """

    context: StageContext
    kind: DatasetType
    interval: Interval
    key: str

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


def export_dataset(
    context: StageContext, kind: DatasetType, interval: Interval, key: str, *, unloaded: Unload | None = None
) -> ExportedObject:
    """Copy the rows of one dataset and interval to ``key``, checking every one on its way.

    Rows that break a rule are left out and kept in a quarantine object; a report says what was found.

    :param unloaded: what the warehouse unloaded already; None queries it now.
    :raises FatalError: when a check says stop; the object is not written then, the report is.
    """
    export = DatasetExport(context, kind, interval, key)
    source = warehouse(context.program.warehouse, aws_conn_id=context.program.aws)
    with _opened(export, source, unloaded) as stream, TemporaryDirectory(prefix="recsync-") as folder:
        checks = _checks(export, Path(folder))
        with object_writer(context.bucket, key) as target:
            target.write(",".join(export.schema.columns).encode() + b"\n")
            for block in _with_progress(cut_records(stream), export):
                target.write(checks.block(block))
            figures = checks.finish(target)
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
    source = warehouse(context.program.warehouse, aws_conn_id=context.program.aws)
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


@dataclass(frozen=True)
class _Figures:
    rows: int
    quarantined: int
    digest: str


class _Stream(Protocol):
    """What the blocks of a dataset go through."""

    def block(self, block: bytes) -> bytes:
        """Give what of a block is exported."""

    def finish(self, target: ObjectWriter) -> _Figures:
        """Say what went through."""


def _checks(export: DatasetExport, work: Path) -> _Stream:
    if export.context.program.checks.enabled:
        return _Checked(export, work)
    return _Unchecked()


class _Checked:
    """Every check of the program, and the report."""

    def __init__(self, export: DatasetExport, work: Path) -> None:
        self._export = export
        self._work = work
        program = export.context.program
        self._checks = RowChecks(
            CheckContext(
                program=program.name,
                schema=export.schema,
                dataset_type=export.kind,
                interval=export.interval,
                full=export.full,
                select_by=program.exports.select_by,
                settings=program.checks,
                sql=export.sql,
                work=work,
                known=known_ids(export.context, export.kind, export.interval, export.key),
                known_items_before=known_items(export.context, export.kind),
                history=history_of(export.context, export.kind, export.interval),
            )
        )

    def block(self, block: bytes) -> bytes:
        return self._checks.block(block)

    def finish(self, target: ObjectWriter) -> _Figures:
        report: Report = self._checks.finish()
        self._keep(report)
        if message := report.stop_message():
            raise FatalError(f"{message} The report: {self._export.context.bucket.uri(self._report_key)}")
        return _Figures(report.exported, report.quarantined, self._checks.digest)

    @property
    def _report_key(self) -> str:
        return self._export.context.reports.path_of(self._export.key)

    def _keep(self, report: Report) -> None:
        reports, key = self._export.context.reports, self._export.key
        rows = self._work / "quarantine.jsonl"
        document = report.to_json() | {
            "quarantine": reports.put_quarantine(key, rows if report.quarantined else None)
        }
        reports.put(key, document, page(document))
        if self._export.kind is not DatasetType.INTERACTIONS:
            ids: NDArray[np.uint64] = self._checks.ids
            reports.put_ids(key, ids)
        for finding in document["findings"]:
            if finding["level"] != "note":
                log.warning("%s: %s", self._export.sql, finding["text"])


class _Unchecked:
    """Whatever the query returns."""

    def __init__(self) -> None:
        self._digest: Any = hashlib.blake2b(digest_size=16)
        self._rows = 0

    def block(self, block: bytes) -> bytes:
        text = to_personalize(block)
        self._digest.update(text)
        self._rows += text.count(b"\n")
        return text

    def finish(self, target: ObjectWriter) -> _Figures:
        return _Figures(self._rows, 0, self._digest.hexdigest())
