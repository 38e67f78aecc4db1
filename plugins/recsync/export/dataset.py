"""Export one dataset: stream rows from the warehouse through the checks to S3."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from recsync import settings
from recsync.alerts.message import send
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.export.checks import QUARANTINE_FILE, CheckContext, ExportReport, RowChecks
from recsync.export.checks.report import RuleFinding
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.report_page import page
from recsync.export.store import ExportStore, ReportStore
from recsync.program import DatasetType, Event, Program
from recsync.program.avro import AvroSchema
from recsync.program.intervals import Interval
from recsync.storage.csv_dialect import to_personalize
from recsync.storage.csv_text import ByteStream, cut_records, record_ends
from recsync.storage.duck import modest_allocator
from recsync.storage.hash_files import HashFile
from recsync.storage.object_writer import object_writer
from recsync.suppression.store import SuppressionStore, without_suppressed
from recsync.warehouse.hooks import UnloadingWarehouse, Warehouse
from recsync.warehouse.hooks.unload import Unload
from recsync.warehouse.program_sql import export_query, is_ordered

if TYPE_CHECKING:
    from recsync.export.mail_columns import ExportedMails

log = logging.getLogger(__name__)

_LAST_SNAPSHOTS = 4
_LAST_DAYS = 7
_PROGRESS_SECONDS = 30


@dataclass(frozen=True)
class DatasetExport:
    """The export of one dataset and interval.

    :param interval: begins at the epoch for a snapshot of everything.
    :param key: S3 key of the object to write.
    :param note: why a later run exports it, for the report; empty in its own run.
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

    @cached_property
    def schema(self) -> AvroSchema:
        """Avro schema of the dataset."""
        return settings.schema(self.context.program, self.kind)

    @property
    def sql(self) -> str:
        """Path of the SQL file, for messages."""
        return self.context.program.sql_file(self.kind.folder)


def export_dataset(
    context: StageContext,
    kind: DatasetType,
    interval: Interval,
    key: str,
    *,
    unloaded: Unload | None = None,
    note: str = "",
) -> ExportedObject:
    """Copy the rows of one dataset and interval to ``key``, checking each row.

    Rows that break a rule go to a quarantine object; the findings go to a report.

    :param unloaded: a finished UNLOAD; None queries the warehouse now.
    :param note: why a later run exports it, for the report.
    :raises FatalError: when a check says stop; then only the report is written.
    """
    export = DatasetExport(context, kind, interval, key, note)
    source = context.warehouse()
    with modest_allocator(), TemporaryDirectory(prefix="recsync-") as name:
        folder = Path(name)
        # Before the query: indexing all lists takes a while, and the warehouse should not wait.
        mails = _mails(export, folder)
        with _opened(export, source, unloaded) as stream, object_writer(context.bucket, key) as target:
            # After the query: the warehouse finds the first rows meanwhile.
            checks = _Checked(export, folder) if context.program.checks.enabled else _Unchecked()
            suppression = context.store(SuppressionStore).read()
            target.write(",".join(export.schema.columns).encode() + b"\n")
            blocks = (
                without_suppressed(block, export.schema.columns, suppression)
                for block in _with_progress(cut_records(stream), export)
            )
            for block in checks.blocks(mails.fill(blocks) if mails else blocks):
                target.write(block)
            totals = checks.finish()
    exported = ExportedObject(
        key=key,
        rows=totals.rows,
        size_bytes=target.size_bytes,
        digest=totals.digest,
        etag=target.etag,
        quarantined=totals.quarantined,
    )
    uri = context.bucket.uri(key)
    log.info("Exported %d rows (%d bytes) of %s to %s", exported.rows, exported.size_bytes, export.sql, uri)
    return exported


def start_unload(context: StageContext, kind: DatasetType, interval: Interval, key: str) -> Unload | None:
    """Start an UNLOAD to S3; None for a warehouse that cannot unload."""
    source = context.warehouse()
    if not isinstance(source, UnloadingWarehouse):
        return None
    return _unload(DatasetExport(context, kind, interval, key), source)


def _mails(export: DatasetExport, folder: Path) -> ExportedMails | None:
    """Prepare to fill columns with mails; None for an export without such columns."""
    if export.kind is not DatasetType.INTERACTIONS or not export.context.program.attribution.filled:
        return None
    # Imported here to keep DuckDB and Parquet, 33 MB, out of the memory of other exports.
    from recsync.export.mail_columns import ExportedMails

    return ExportedMails(export.context, export.interval, export.schema.columns, folder)


@contextmanager
def _opened(export: DatasetExport, source: Warehouse, unloaded: Unload | None) -> Generator[ByteStream]:
    if isinstance(source, UnloadingWarehouse):
        with source.open_unloaded(unloaded or _unload(export, source), name=export.sql) as stream:
            yield stream
    else:
        opened = source.open_large_csv if export.full else source.open_csv
        with opened(_query(export, source), name=export.sql) as stream:
            yield stream


def _query(export: DatasetExport, source: Warehouse) -> str:
    return export_query(export.context.program, export.kind, export.interval, export.schema, source)


def _unload(export: DatasetExport, source: UnloadingWarehouse) -> Unload:
    staging = export.context.bucket.uri(export.context.keys.companion(export.key, "staging", "/"))
    ordered = is_ordered(export.kind, export.interval)
    return source.start_unload(_query(export, source), uri=staging, name=export.sql, ordered=ordered)


def _with_progress(blocks: Iterator[bytes], export: DatasetExport) -> Iterator[bytes]:
    """Log the progress every 30 seconds."""
    told, size = time.monotonic(), 0
    for block in blocks:
        yield block
        size += len(block)
        if time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            log.info("%s: %d MB read so far", export.sql, size // 1_000_000)


@dataclass(frozen=True)
class ExportTotals:
    """Counts of an export, and the digest of its rows; their order counts only for exports without checks."""

    rows: int
    quarantined: int
    digest: str


class _Checked:
    """Run the program's checks, and store the report."""

    def __init__(self, export: DatasetExport, work: Path) -> None:
        self._export = export
        self._work = work
        self._began = time.monotonic()
        program = export.context.program
        interactions = export.kind is DatasetType.INTERACTIONS
        last = export.context.store(ExportStore).newest_full() if interactions else None
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
                known=known_ids(export, last, work),
                known_items_before=_known_items(export, last, work),
                # Without a dataset of their own, ids are known only from interactions.
                kept_ids=frozenset({DatasetType.USERS, DatasetType.ITEMS}.difference(program.dataset_types))
                if interactions
                else frozenset(),
                sparse=frozenset(program.attribution.filled if interactions else ()),
                history=earlier_reports(export),
            )
        )

    def blocks(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        return self._checks.blocks(blocks)

    def finish(self) -> ExportTotals:
        """Check the whole and store the report.

        :raises FatalError: when a check says stop.
        """
        report = self._checks.finish()
        self._keep(report)
        if message := report.stop_message():
            raise FatalError(f"{message} The report: {self._export.context.bucket.uri(self._report_key)}")
        return ExportTotals(report.exported, report.quarantined, self._checks.digest)

    @property
    def _report_key(self) -> str:
        return self._export.context.store(ReportStore).path_of(self._export.key)

    def _keep(self, report: ExportReport) -> None:
        reports, key = self._export.context.store(ReportStore), self._export.key
        rows = self._work / QUARANTINE_FILE
        document = report.to_json() | {
            "quarantine": reports.put_quarantine(key, rows if report.quarantined else None),
            "seconds": round(time.monotonic() - self._began, 1),
        }
        if self._export.note:
            note = RuleFinding("late_export", "note", None, 0, 0.0, None, self._export.note)
            document["findings"].append(asdict(note))
        reports.put(key, document, page(document))
        for kind, path in self._checks.write_ids().items():
            reports.upload_ids(key, path, of=None if kind is self._export.kind else kind)
        for finding in document["findings"]:
            if finding["level"] != "note":
                log.warning("%s: %s", self._export.sql, finding["text"])
        context = self._export.context
        send_drift_alert(
            context.program, self._export.kind.folder, report, context.bucket.uri(self._report_key)
        )


class _Unchecked:
    """Pass on all that the query returns."""

    def __init__(self) -> None:
        self._digest: Any = hashlib.blake2b(digest_size=16)
        self._rows = 0

    def blocks(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            text = to_personalize(block)
            self._digest.update(text)
            self._rows += len(record_ends(block)) if b'"' in block else block.count(b"\n")
            yield text

    def finish(self) -> ExportTotals:
        return ExportTotals(self._rows, 0, self._digest.hexdigest())


def send_drift_alert(program: Program, dataset: str, report: ExportReport, report_uri: str) -> None:
    """Send an alert of all drift in a report, at most once per day and dataset: a late warehouse is late every hour.

    :param dataset: the dataset's name, as in S3 keys.
    """
    if not report.drift:
        return
    lines = (
        *(f"What happened: {finding.text}" for finding in report.drift),
        "What to do: ask who fills the warehouse whether that is right. If it is not, mend the source, then clear the "
        "export; a model trained on such data is judged by the gate before it is used. If it is, the next exports "
        "make it usual; limits: checks.drift in the program file.",
        f"Report: {report_uri}",
    )
    subject = f"the export of {dataset} is not as usual"
    figures = ", ".join(sorted({finding.figure for finding in report.drift}))
    send(program, Event.DRIFT, subject, "\n".join(lines), key=f"{dataset}: {figures}")


def known_ids(export: DatasetExport, last: Manifest | None, work: Path) -> dict[DatasetType, HashFile]:
    """Read the hashed ids of the users and items datasets, to check interactions against.

    A snapshot is compared with the snapshots of its own run; an interval with those of the last FULL, the intervals
    since, and its own.

    :param last: the last published snapshot.
    :param work: folder for the files.
    :returns: without datasets whose ids were not kept.
    """
    if export.kind is not DatasetType.INTERACTIONS:
        return {}
    context = export.context
    others = [other for other in context.program.dataset_types if other is not DatasetType.INTERACTIONS]
    if export.full:
        siblings = {o: export.key.replace(f"/{export.kind.folder}.csv", f"/{o.folder}.csv") for o in others}
        own = {
            other: context.store(ReportStore).download_ids([key], work / f"{other.folder}.known")
            for other, key in siblings.items()
        }
        return {other: ids for other, ids in own.items() if ids is not None}
    if last is None:
        return {}
    return {other: exported_ids(context, other, last, work / f"{other.folder}.known") for other in others}


def _known_items(export: DatasetExport, last: Manifest | None, work: Path) -> HashFile | None:
    """Read the hashed ids of the items in the last FULL; other items count as new."""
    if export.kind is not DatasetType.INTERACTIONS or last is None or DatasetType.ITEMS not in last.objects:
        return None
    key = last.objects[DatasetType.ITEMS].key
    return export.context.store(ReportStore).download_ids([key], work / "items.before")


def earlier_reports(export: DatasetExport) -> list[dict[str, Any]]:
    """Read the reports to compare with, newest first: of the same time on 7 days before, or of 4 snapshots."""
    reports, interval = export.context.store(ReportStore), export.interval
    if export.full:
        newest = reports.get_many(reports.full_reports(export.kind)[: _LAST_SNAPSHOTS + 1])
        return [report for report in newest if report["end"] < interval.end.isoformat()][:_LAST_SNAPSHOTS]
    length = interval.end - interval.start
    starts = [interval.start - timedelta(days=day) for day in range(1, _LAST_DAYS + 1)]
    keys = [export.context.keys.export(export.kind, Interval(start, start + length).key) for start in starts]
    return reports.get_many(map(reports.path_of, keys))


def exported_ids(
    context: StageContext, kind: DatasetType, last: Manifest, path: Path, *, of: DatasetType | None = None
) -> HashFile:
    """Read the hashed ids of a snapshot and of the intervals since.

    :param kind: the dataset that was exported.
    :param last: the snapshot.
    :param path: file to write.
    :param of: the dataset of the ids, when they are ids of interactions; None: the exported dataset's own.
    """
    reports = context.store(ReportStore)
    snapshot = [last.objects[kind].key] if kind in last.objects else []
    keys = [*snapshot, *reports.exported_since(kind, last.interval.end, of=of)]
    return reports.download_ids(keys, path, of=of) or HashFile.write(path, [])
