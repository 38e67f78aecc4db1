"""What an export is checked against: the ids of the other datasets, and what was exported before."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from recsync.core.intervals import Interval
from recsync.core.program import DatasetType
from recsync.stages.context import StageContext
from recsync.stores.exports import Manifest

Ids = NDArray[np.uint64]
_LAST_SNAPSHOTS = 4
_LAST_DAYS = 7


def known_ids(
    context: StageContext, kind: DatasetType, interval: Interval, key: str
) -> dict[DatasetType, Ids]:
    """Gather the hashed ids of users and items that interactions may name; what is not known is left out.

    A snapshot is compared with the snapshots of its own run; an interval with those of the last FULL, the intervals
    since, and its own.
    """
    if kind is not DatasetType.INTERACTIONS:
        return {}
    others = [other for other in context.program.dataset_types if other is not DatasetType.INTERACTIONS]
    if interval == Interval.until(interval.end):
        own = {other: context.reports.ids(_sibling(key, kind, other)) for other in others}
        return {other: ids for other, ids in own.items() if ids is not None}
    last = context.exports.newest_full()
    return {other: _since(context, other, last) for other in others if last} if last else {}


def known_items(context: StageContext, kind: DatasetType) -> Ids | None:
    """Gather the hashed ids of the items of the last FULL; an item that is not among them is new."""
    if kind is not DatasetType.INTERACTIONS or DatasetType.ITEMS not in context.program.dataset_types:
        return None
    last = context.exports.newest_full()
    return context.reports.ids(last.objects[DatasetType.ITEMS].key) if last else None


def history_of(context: StageContext, kind: DatasetType, interval: Interval) -> list[dict[str, object]]:
    """Read earlier reports to compare with, newest first: of the same time on the days before, or of snapshots."""
    reports, keys = context.reports, context.keys
    if interval == Interval.until(interval.end):
        earlier = [
            report
            for report in reports.get_many(reports.full_reports(kind)[: _LAST_SNAPSHOTS + 1])
            if report["end"] < interval.end.isoformat()
        ]
        return earlier[:_LAST_SNAPSHOTS]
    days = (interval.start - timedelta(days=day) for day in range(1, _LAST_DAYS + 1))
    paths = [reports.path_of(keys.export(kind, Interval(day, day + timedelta(hours=1)).key)) for day in days]
    return reports.get_many(paths)


def _since(context: StageContext, kind: DatasetType, last: Manifest) -> Ids:
    parts = context.reports.ids_since(kind, last.interval.end)
    snapshot = context.reports.ids(last.objects[kind].key) if kind in last.objects else None
    return np.unique(
        np.concatenate([*parts, *([] if snapshot is None else [snapshot])] or [np.empty(0, np.uint64)])
    )


def _sibling(key: str, kind: DatasetType, other: DatasetType) -> str:
    return key.replace(f"/{kind.folder}.csv", f"/{other.folder}.csv")
