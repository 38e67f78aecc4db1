"""The intervals that one run of the export reads: its own, changed ones before it, and those nobody published."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from recsync.context import StageContext
from recsync.export.store import Exports
from recsync.imports.store import ImportState
from recsync.program import DatasetType
from recsync.program.intervals import Interval, intervals_between, ticks_before

log = logging.getLogger(__name__)

# Says whether a run of its own exports the interval that begins at a moment.
IsExporting = Callable[[datetime], bool]
_LATE = "A later run exported this interval: its own run had failed, or was never started."


def spans(
    program_name: str, own: Interval, *, backfill: bool, is_exporting: IsExporting = lambda _: False
) -> list[dict[str, Any]]:
    """Say what a run exports, its own interval first.

    :param backfill: a backfill exports its own interval only: the runs beside it export the others.
    :returns: ``start``, ``end`` and ``key`` of each interval as XCom takes them, ``note`` for its report, and
        ``optional``: whether the run goes on when a check stops it.
    """
    context = StageContext.of(program_name)
    if backfill:
        return [_span(own)]
    settings, cron = context.program.exports, context.program.schedules.export
    starts = [ticks_before(own.start, cron, number) for number in range(1, settings.overlap_intervals + 1)]
    published = [context.store(Exports).interval(Interval(start, own.start).key) for start in starts]
    again = [_span(manifest.interval, optional=True) for manifest in published if manifest]
    missing = _missing(context, own, is_exporting)
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


def _missing(context: StageContext, own: Interval, is_exporting: IsExporting) -> Iterator[Interval]:
    """Yield the intervals between the last FULL import and a run's own that nobody published or exports, oldest first.

    What lies before the end of the last FULL import is in its snapshot. An interval that overlaps a published one,
    because the schedule was changed, is left out: its rows would be imported twice.
    """
    last = context.store(ImportState).read().full.get(DatasetType.INTERACTIONS)
    if last is None or last.until >= own.start:
        return
    starts = context.store(Exports).starts_since(last.until)
    between = intervals_between(last.until, own.start, context.program.schedules.export)
    candidates = [interval for interval in between if interval.start not in starts]
    if not candidates:
        return
    # Far enough back for an interval of a daily schedule that reaches into the first candidate.
    published = context.store(Exports).intervals_since(candidates[0].start - timedelta(days=1))
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
