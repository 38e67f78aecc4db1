"""The intervals that one run of the export reads: its own, and those before it that may have changed since."""

from __future__ import annotations

from datetime import datetime

from recsync.core.intervals import Interval, ticks_before
from recsync.stages.context import StageContext


def spans(program_name: str, own: Interval, *, backfill: bool) -> list[dict[str, str]]:
    """Say what a run exports, its own interval first.

    :param backfill: a backfill exports its own interval only: the runs beside it export the others.
    :returns: ``start``, ``end`` and ``key`` of each interval, as XCom takes them.
    """
    context = StageContext.of(program_name)
    count = 0 if backfill else context.program.exports.overlap_intervals
    cron = context.program.schedules.export
    starts = [ticks_before(own.start, cron, number) for number in range(1, count + 1)]
    # One that was never published was not asked for; it is left to a backfill.
    published = [context.exports.interval(Interval(start, own.start).key) for start in starts]
    return [_span(own), *(_span(manifest.interval) for manifest in published if manifest)]


def interval_of(span: dict[str, str]) -> Interval:
    """Read an interval back from XCom."""
    return Interval(datetime.fromisoformat(span["start"]), datetime.fromisoformat(span["end"]))


def _span(interval: Interval) -> dict[str, str]:
    return {"start": interval.start.isoformat(), "end": interval.end.isoformat(), "key": interval.key}
