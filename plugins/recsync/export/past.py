"""Export many past intervals at once, by the code that the export DAG runs, without a scheduler."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from recsync.context import StageContext
from recsync.export.dataset import export_dataset
from recsync.export.publish import publish_interval, to_xcom
from recsync.program.intervals import Interval, intervals_between

log = logging.getLogger(__name__)

_PROGRESS_INTERVALS = 100


def export_past(program_name: str, start: datetime, end: datetime, *, threads: int = 8) -> int:
    """Export and publish each interval that lies between two moments.

    :param threads: intervals exported at the same time; each uses a connection of its own to the warehouse.
    :returns: how many intervals there were.
    :raises RecsyncError: of the first interval that fails; those before it are published.
    """
    context = StageContext.of(program_name)
    _ = context.bucket  # made once, before the threads ask for it
    intervals = list(intervals_between(start, end, context.program.schedules.export))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="export")
    try:
        done = pool.map(lambda interval: _export(context, interval), intervals)
        for number, interval in enumerate(done, 1):
            if number % _PROGRESS_INTERVALS == 0 or number == len(intervals):
                log.info(
                    "%d of %d intervals are exported, the last is %s", number, len(intervals), interval.key
                )
    finally:
        pool.shutdown(cancel_futures=True)
    return len(intervals)


def _export(context: StageContext, interval: Interval) -> Interval:
    exported = {
        kind.value: to_xcom(export_dataset(context, kind, interval, context.keys.export(kind, interval.key)))
        # Interactions last: they are checked against the ids of the others.
        for kind in reversed(context.program.dataset_types)
    }
    publish_interval(context, interval, exported)
    return interval
