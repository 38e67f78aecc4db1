"""Choose the intervals of an export run, and publish their manifests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from recsync.context import StageContext
from recsync.export.manifest import ExportedObject, Manifest
from recsync.export.store import ExportStore
from recsync.program import DatasetType
from recsync.program.intervals import Interval, floor_tick, intervals_between, ticks_before

log = logging.getLogger(__name__)

# Returns whether another run is exporting the interval with this start.
IsExporting = Callable[[datetime], bool]
_PROGRESS_INTERVALS = 100
_LATE = "A later run exported this interval: its own run had failed, or was never started."


def spans(
    program_name: str,
    own: Interval,
    *,
    imported_until: datetime | None,
    backfill: bool,
    is_exporting: IsExporting = lambda _: False,
) -> list[dict[str, Any]]:
    """Return the intervals that a run exports, its own first.

    :param imported_until: end of the last FULL import of interactions; None before the first.
    :param backfill: a backfill exports its own interval only; its other runs export the others.
    :returns: ``start``, ``end`` and ``key`` of each interval for XCom, ``note`` for its report, and ``optional``:
        whether the run goes on when a check stops it.
    """
    context = StageContext.of(program_name)
    if backfill:
        return [_span(own)]
    settings, cron = context.program.exports, context.program.schedules.export_intervals
    starts = [ticks_before(own.start, cron, number) for number in range(1, settings.overlap_intervals + 1)]
    published = [context.store(ExportStore).interval(Interval(start, own.start).key) for start in starts]
    again = [_span(manifest.interval, optional=True) for manifest in published if manifest]
    missing = _missing(context, own, imported_until, is_exporting)
    late = [_span(each, optional=True, note=_LATE) for each in islice(missing, settings.missing_intervals)]
    if late:
        log.warning(
            "%d intervals since the last FULL import were not published: %s. This run exports them too, at most %d "
            "in one run (exports.missing_intervals).",
            len(late),
            ", ".join(span["key"] for span in late),
            settings.missing_intervals,
        )
    return [_span(own), *again, *late]


def backfill_spans(program_name: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the export intervals that ended between two deadlines, the newest first."""
    cron = StageContext.of(program_name).program.schedules.export_intervals
    return [_span(each) for each in intervals_between(floor_tick(start, cron), end, cron)][::-1]


def _missing(
    context: StageContext, own: Interval, imported_until: datetime | None, is_exporting: IsExporting
) -> Iterator[Interval]:
    """Yield the unpublished intervals between the last FULL import and a run's own, oldest first.

    Rows from before the end of the last FULL import are in its snapshot. An interval that overlaps a published one,
    because the schedule was changed, is skipped: its rows would be imported twice.
    """
    if imported_until is None or imported_until >= own.start:
        return
    starts = context.store(ExportStore).starts_since(imported_until)
    between = intervals_between(imported_until, own.start, context.program.schedules.export_intervals)
    candidates = [interval for interval in between if interval.start not in starts]
    if not candidates:
        return
    # One day back, as an interval of a daily schedule may overlap the first candidate.
    published = context.store(ExportStore).intervals_since(candidates[0].start - timedelta(days=1))
    for interval in candidates:
        overlaps = any(
            manifest.interval.start < interval.end and interval.start < manifest.interval.end
            for manifest in published
        )
        if not overlaps and not is_exporting(interval.start):
            yield interval


def interval_of(span: dict[str, Any]) -> Interval:
    """Read an interval back from XCom."""
    return Interval(datetime.fromisoformat(span["start"]), datetime.fromisoformat(span["end"]))


def _span(interval: Interval, *, optional: bool = False, note: str = "") -> dict[str, Any]:
    return {
        "start": interval.start.isoformat(),
        "end": interval.end.isoformat(),
        "key": interval.key,
        "optional": optional,
        "note": note,
    }


def publish_spans(
    program_name: str, spans: Sequence[dict[str, Any]], exported: dict[str, Iterable[dict[str, Any] | None]]
) -> dict[str, Any]:
    """Publish all intervals that a run exported.

    If a check stopped a dataset of an optional interval, the object that was published before stays; an interval
    without one waits for a later run.

    :param spans: see :func:`spans`; the run's own interval first.
    :param exported: dataset type -> objects, in any order.
    :returns: the figures of the run's own interval.
    """
    context = StageContext.of(program_name)
    found: dict[tuple[str, str], dict[str, Any]] = {
        (kind, document["key"]): document
        for kind, documents in exported.items()
        for document in documents
        if document
    }
    figures = []
    for span in spans:
        interval = interval_of(span)
        keys = {kind: context.keys.export(DatasetType(kind), interval.key) for kind in exported}
        objects = {kind: found[kind, key] for kind, key in keys.items() if (kind, key) in found}
        if stopped := sorted(keys.keys() - objects.keys()):
            log.warning("%s of %s was stopped; see the log of its export.", ", ".join(stopped), interval.key)
            former = context.store(ExportStore).interval(interval.key)
            if former is None:
                continue
            kept = {kind.value: to_xcom(each) for kind, each in former.objects.items()}
            objects = {**kept, **objects}
        figures.append(publish_interval(context, interval, objects))
    return figures[0]


def publish_interval(
    context: StageContext, interval: Interval, exported: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Publish the objects of one interval to imports.

    :returns: the figures for the asset event: the interval and rows per dataset.
    """
    published = context.store(ExportStore).publish_interval(manifest_of(interval, exported))
    rows = {kind.folder: exported.rows for kind, exported in published.objects.items()}
    return {"interval": interval.key, "rows": rows}


def manifest_of(interval: Interval, exported: dict[str, dict[str, Any]]) -> Manifest:
    """Build a manifest from the results of the export tasks (dataset type -> object)."""
    objects = {DatasetType(kind): ExportedObject.from_json(document) for kind, document in exported.items()}
    return Manifest(interval, objects)


def to_xcom(exported: ExportedObject) -> dict[str, Any]:
    """Return an object as plain values for XCom."""
    return asdict(exported)


def export_past(program_name: str, start: datetime, end: datetime, *, threads: int = 8) -> int:
    """Export and publish the intervals between two times without a scheduler, by the code of the export DAG.

    :param threads: number of concurrent intervals, each with its own connection to the warehouse.
    :returns: number of intervals.
    :raises RecsyncError: of the first interval that fails; the earlier ones are published.
    """
    context = StageContext.of(program_name)
    _ = context.bucket  # created before the threads use it
    intervals = list(intervals_between(start, end, context.program.schedules.export_intervals))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="export")
    try:
        done = pool.map(lambda interval: _export(context, interval), intervals)
        for number, interval in enumerate(done, 1):
            if number % _PROGRESS_INTERVALS == 0 or number == len(intervals):
                log.info("Exported %d of %d intervals, the last is %s", number, len(intervals), interval.key)
    finally:
        pool.shutdown(cancel_futures=True)
    return len(intervals)


def _export(context: StageContext, interval: Interval) -> Interval:
    # Heavy: pyarrow and the warehouse's client.
    from recsync.export.dataset import export_dataset

    exported = {
        kind.value: to_xcom(export_dataset(context, kind, interval, context.keys.export(kind, interval.key)))
        # Interactions last: they are checked against the ids of the others.
        for kind in reversed(context.program.dataset_types)
    }
    publish_interval(context, interval, exported)
    return interval
